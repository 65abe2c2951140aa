"""Slots on real processes: the same numbers everywhere, every fault a named outcome, and the slot works again."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from search.candidate import Candidate, Cnn, Recipe
from search.slots.job import Event, Failed, Finished, Job, Lost, Paused, SlotSettings
from search.slots.pool import Pool
from search.slots.slot_state import SlotError
from search.training.result import EpochResult

TINY = Candidate(
    architecture=Cnn(stages=2, width=(8, 16), pool=3, dropout=0.1, hidden_layers=0),
    recipe=Recipe(learning_rate=2.0, weight_decay=0.005, label_smoothing=0.0, cutout=8),
)
OTHER = replace(TINY, recipe=replace(TINY.recipe, optimizer="adamw", learning_rate=1.0, mixup=0.5))
DIVERGING = Candidate(
    architecture=Cnn(stages=1, width=(8,), batch_norm=False, hidden_layers=1, hidden=(16,)),
    recipe=Recipe(learning_rate=1000.0, decoupled=False, bias_scale=1000.0),
)
ROOMY = Candidate(  # its first linear layer has 4 GB of weights
    architecture=Cnn(stages=1, width=(256,), pool=1, hidden_layers=1, hidden=(4096,)), recipe=Recipe()
)
BROKEN = Candidate(architecture=Cnn(stages=4, kernel=31, width=(8,) * 4, padding="valid"), recipe=Recipe())
E = TypeVar("E", bound=Event)


@pytest.fixture(scope="module")
def slots(slot_settings: SlotSettings) -> Iterator[Pool]:
    """Two slots; a test that ends early must leave them idle."""
    assert slot_settings.split
    with Pool([slot_settings, slot_settings], log=slot_settings.split.parent / "slots.log") as slots:
        yield slots


def job(candidate: Candidate = TINY, **changes: object) -> Job:
    return replace(Job(name="a test", candidate=candidate, epochs=2, seed=7), **changes)  # type: ignore[arg-type]


def finish(slots: Pool, index: int) -> list[Event]:
    """The events of the job on a slot to its end."""
    found: list[Event] = []
    while index in slots.busy:
        for slot, _, event in slots.events(timeout=0.2):
            assert slot == index
            found.append(event)
            if isinstance(event, EpochResult):
                slots.go_on(slot)
    return found


def end(slots: Pool, index: int, kind: type[E]) -> E:
    """The last event of the job on a slot, which is of this kind."""
    event = finish(slots, index)[-1]
    assert isinstance(event, kind), event
    return event


def trained(slots: Pool, index: int, job: Job) -> list[EpochResult]:
    """Every epoch of a job, without the time that it took."""
    slots.start(index, job)
    events = finish(slots, index)
    assert isinstance(events[-1], Finished), events
    return [replace(event, seconds=0.0) for event in events if isinstance(event, EpochResult)]


def first_epoch(slots: Pool) -> EpochResult:
    """Waits for the first result of the one job that runs."""
    while True:
        for _, _, event in slots.events(timeout=0.2):
            if isinstance(event, EpochResult):
                return event


def process(slots: Pool, index: int) -> int:
    pid = slots._slots[index].process.pid
    assert pid is not None
    return pid


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_same_job_gives_the_same_bits_in_every_slot_and_after_other_jobs(slots: Pool) -> None:
    before = [process(slots, index) for index in (0, 1)]

    first = trained(slots, 0, job())
    other = trained(slots, 0, job(OTHER))
    again, elsewhere = trained(slots, 0, job()), trained(slots, 1, job())

    assert len(first) == 2
    assert first == again == elsewhere
    assert first != other
    assert first != trained(slots, 1, job(seed=8))
    assert [process(slots, index) for index in (0, 1)] == before  # warm: one process did them all


def test_the_two_slots_share_a_list_of_jobs(slots: Pool) -> None:
    found = list(slots.run_all([job(number=number, epochs=1) for number in range(3)]))

    assert sorted(job.number for job, event in found if isinstance(event, Finished)) == [0, 1, 2]
    assert slots.idle == [0, 1]


def test_speed_is_that_of_all_slots_together(slots: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    speed = Finished(images_per_second=100.0)
    monkeypatch.setattr(slots, "run_all", lambda jobs, **_: ((job, speed) for job in jobs))

    assert slots.measure(job()) == 200.0


def test_a_measurement_that_fails_stops_everything_with_the_cause(slots: Pool) -> None:
    with pytest.raises(SlotError, match=r"the forecast failed: .*kernel of 31 is larger"):
        slots.measure(Job(name="the forecast", candidate=BROKEN))


def test_stop_frees_the_slot_at_once_and_the_next_job_starts_from_the_beginning(slots: Pool) -> None:
    whole = trained(slots, 0, job())
    slots.start(0, job(epochs=1000))
    first_epoch(slots)

    slots.stop(0)

    assert slots.idle == [0, 1]
    assert trained(slots, 0, job()) == whole


@pytest.mark.parametrize(
    ("candidate", "outcome", "message"),
    [
        (DIVERGING, "diverged", "loss is"),
        (BROKEN, "infeasible", "(W - F + 2P)/S + 1 = (1 - 31 + 2*0)/1 + 1"),
    ],
    ids=["absurd learning rate", "impossible network"],
)
def test_a_candidate_that_cannot_be_trained_fails_by_name_and_the_process_stays(
    slots: Pool, candidate: Candidate, outcome: str, message: str
) -> None:
    before = process(slots, 0)
    slots.start(0, job(candidate))

    failed = end(slots, 0, Failed)

    assert failed.outcome == outcome
    assert message in failed.message
    assert process(slots, 0) == before


def both(slots: Pool) -> list[list[EpochResult]]:
    """The same job on both slots at once, which may have to start first."""
    epochs: list[list[EpochResult]] = [[], []]
    for index in (0, 1):
        slots.start(index, job(patience=60.0))
    while slots.busy:
        for index, _, event in slots.events(timeout=0.2):
            assert not isinstance(event, (Failed, Lost)), event
            if isinstance(event, EpochResult):
                epochs[index].append(replace(event, seconds=0.0))
                slots.go_on(index)
    return epochs


def test_killed_and_hung_slots_are_lost_by_name_and_their_successors_give_the_same_bits(slots: Pool) -> None:
    """Slot 0 is killed and slot 1 stopped, each after its first epoch; the successor of slot 1 is killed while idle."""
    whole, pids = trained(slots, 0, job()), [process(slots, 0), process(slots, 1)]
    lost: dict[int, Lost] = {}
    slots.start(0, job(epochs=1000))
    slots.start(1, job(epochs=1000, patience=1.5))
    start = time.monotonic()
    while slots.busy:
        for index, _, event in slots.events(timeout=0.2):
            if isinstance(event, EpochResult):
                os.kill(pids[index], (signal.SIGKILL, signal.SIGSTOP)[index])
                slots.go_on(index)
            elif isinstance(event, Lost):
                lost[index] = event

    assert time.monotonic() - start < 10
    assert (lost[0].outcome, lost[0].counts) == ("crashed", True)
    assert "SIGKILL" in lost[0].message
    assert lost[1].outcome == "hung"
    assert "no progress for " in lost[1].message
    assert not alive(pids[1])
    pids.append(process(slots, 1))
    os.kill(pids[-1], signal.SIGKILL)
    slots._slots[1].process.join(5)
    assert both(slots) == [whole, whole]
    assert not {*pids} & {*slots.pids}


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is of Linux")
def test_a_network_without_room_is_out_of_memory_and_gets_a_fresh_process(slots: Pool) -> None:
    trained(slots, 0, job())  # so that all is loaded
    before = process(slots, 0)
    pages = int(Path(f"/proc/{before}/statm").read_text().split()[0])
    resource.prlimit(before, resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30,) * 2)
    slots.start(0, job(ROOMY))

    failed = end(slots, 0, Failed)

    assert failed.outcome == "out-of-memory"
    assert "allocate" in failed.message
    assert process(slots, 0) != before
    assert (alive(before), alive(process(slots, 0))) == (False, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_slot_leaves_in_order_at_a_signal_even_while_it_starts(
    number: signal.Signals, slot_settings: SlotSettings, tmp_path: Path
) -> None:
    """A terminal sends it to every process in front of it, and starting takes seconds."""
    with Pool([slot_settings], log=tmp_path / "slots.log") as slots:
        os.kill(process(slots, 0), number)
        child = slots._slots[0].process
        child.join(30)

        assert child.exitcode == 128 + number
        assert "Traceback" not in (tmp_path / "slots.log").read_text()
        assert len(trained(slots, 0, job())) == 2  # another takes its place


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_a_training_that_is_left_goes_on_to_the_same_bits(
    number: signal.Signals | None, slots: Pool, tmp_path: Path
) -> None:
    whole = trained(slots, 0, job(epochs=4))
    slots.start(0, job(epochs=4, checkpoints=tmp_path))
    first = first_epoch(slots)
    slots.go_on(0)
    if number is None:
        slots.pause(0)
    else:
        os.kill(process(slots, 0), number)
    events = finish(slots, 0)
    assert events[-1] == Paused(signal=number)

    rest = trained(slots, 1, job(epochs=4, checkpoints=tmp_path))

    before = [first, *(event for event in events if isinstance(event, EpochResult))]
    assert [replace(event, seconds=0.0) for event in before] + rest == whole


def test_a_training_that_takes_too_long_is_lost_by_name(slots: Pool) -> None:
    slots.start(0, job(epochs=10**6, limit=2.0))

    lost = end(slots, 0, Lost)

    assert lost.outcome == "timed-out"
    assert "not done after 2 seconds" in lost.message


def test_the_stacks_of_a_slot_that_hangs_are_kept(tmp_path: Path, slot_settings: SlotSettings) -> None:
    with Pool([slot_settings], log=tmp_path / "slots.log", work="stub:work") as slots:
        slots.start(0, job(name="0:hang", checkpoints=tmp_path / "0", patience=2.0))

        lost = end(slots, 0, Lost)

    assert f"in {tmp_path / 'slots.log'}" in lost.message
    assert 'stub.py", line' in (tmp_path / "slots.log").read_text()


def test_slots_that_end_before_they_begin_stop_everything(slot_settings: SlotSettings, tmp_path: Path) -> None:
    with (
        pytest.raises(SlotError, match=r"3 slots in a row ended before they began: .* exit code 1; see .*slots.log"),
        Pool([slot_settings], log=tmp_path / "slots.log", work="stub:nothing_of_that_name") as slots,
    ):
        list(slots.run_all([job()]))

    assert "nothing_of_that_name" in (tmp_path / "slots.log").read_text()


def test_closing_leaves_no_process(slot_settings: SlotSettings, tmp_path: Path) -> None:
    with Pool([slot_settings], log=tmp_path / "slots.log") as slots:
        slots.start(0, job())

    assert not alive(process(slots, 0))
