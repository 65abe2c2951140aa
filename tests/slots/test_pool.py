"""Slots on real processes: the same numbers everywhere, every fault a named outcome, and the slot works again."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from search.candidate import Candidate, Cnn, Recipe
from search.data.sources import Source
from search.data.split import stratified
from search.data.synthetic import training
from search.slots import slot_state
from search.slots.job import Event, Failed, Finished, Job, Left, Lost, Setting, Speed
from search.slots.job_runner import Bench, is_out_of_memory, run_job
from search.slots.pool import Slots
from search.slots.slot_state import SlotError
from search.training.result import EpochResult

SOURCE = Source(kind="synthetic", folder=None)
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


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    path = tmp_path_factory.mktemp("study") / "split.npz"
    stratified(training().labels, validation=200, seed=0).save(path)
    return Setting(source=SOURCE, split=path, device="cpu", threads=1, precision="float32")


@pytest.fixture(scope="module")
def slots(setting: Setting) -> Iterator[Slots]:
    """Two slots; a test that ends early must leave them idle."""
    assert setting.split
    with Slots([setting, setting], log=setting.split.parent / "slots.log") as slots:
        yield slots


def job(candidate: Candidate = TINY, **changes: object) -> Job:
    return replace(Job(name="a test", candidate=candidate, epochs=2, seed=7), **changes)  # type: ignore[arg-type]


def finish(slots: Slots, index: int) -> list[Event]:
    """The events of the job on a slot to its end."""
    found: list[Event] = []
    while index in slots.busy:
        for slot, _, event in slots.events(timeout=0.2):
            assert slot == index
            found.append(event)
            if isinstance(event, EpochResult):
                slots.go_on(slot)
    return found


def trained(slots: Slots, index: int, job: Job) -> list[EpochResult]:
    """Every epoch of a job, without the time that it took."""
    slots.start(index, job)
    events = finish(slots, index)
    assert isinstance(events[-1], Finished), events
    return [replace(event, seconds=0.0) for event in events if isinstance(event, EpochResult)]


def first_epoch(slots: Slots) -> EpochResult:
    """Waits for the first result of the one job that runs."""
    while True:
        for _, _, event in slots.events(timeout=0.2):
            if isinstance(event, EpochResult):
                return event


def failure(events: list[Event]) -> Failed:
    assert isinstance(events[-1], Failed), events
    return events[-1]


def process(slots: Slots, index: int) -> int:
    pid = slots._slots[index].process.pid
    assert pid is not None
    return pid


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_same_job_gives_the_same_bits_in_every_slot_and_after_other_jobs(slots: Slots) -> None:
    before = [process(slots, index) for index in (0, 1)]

    first = trained(slots, 0, job())
    other = trained(slots, 0, job(OTHER))
    again, elsewhere = trained(slots, 0, job()), trained(slots, 1, job())

    assert len(first) == 2
    assert first == again == elsewhere
    assert first != other
    assert first != trained(slots, 1, job(seed=8))
    assert [process(slots, index) for index in (0, 1)] == before  # warm: one process did them all


def test_the_two_slots_share_a_list_of_jobs(slots: Slots) -> None:
    found = list(slots.run_all([job(number=number, epochs=1) for number in range(3)]))

    assert sorted(job.number for job, event in found if isinstance(event, Finished)) == [0, 1, 2]
    assert slots.idle == [0, 1]


def test_speed_is_that_of_all_slots_together(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(_: Slots, jobs: list[Job], **__: object) -> Iterator[tuple[Job, Event]]:
        yield from ((job, Speed(images_per_second=100.0)) for job in jobs)

    monkeypatch.setattr(slot_state, "run_all", said)

    assert slots.measure(job()) == 200.0


def test_a_measurement_that_fails_stops_everything_with_the_cause(slots: Slots) -> None:
    with pytest.raises(SlotError, match=r"the forecast failed: .*kernel of 31 is larger"):
        slots.measure(Job(name="the forecast", candidate=BROKEN))


def test_stop_frees_the_slot_at_once_and_the_next_job_starts_from_the_beginning(slots: Slots) -> None:
    whole = trained(slots, 0, job())
    slots.start(0, job(epochs=1000))
    first_epoch(slots)

    slots.stop(0)

    assert slots.idle == [0, 1]
    assert trained(slots, 0, job()) == whole


def test_an_absurd_learning_rate_has_diverged_and_the_process_stays(slots: Slots) -> None:
    before = process(slots, 0)
    slots.start(0, job(DIVERGING))

    failed = failure(finish(slots, 0))

    assert failed.outcome == "diverged"
    assert "loss is" in failed.message
    assert process(slots, 0) == before


def test_an_impossible_network_is_infeasible(slots: Slots) -> None:
    slots.start(0, job(BROKEN))

    failed = failure(finish(slots, 0))

    assert failed.outcome == "infeasible"
    assert "(W - F + 2P)/S + 1 = (1 - 31 + 2*0)/1 + 1" in failed.message


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What was done to the slots, what they said of it, and what their successors gave."""

    whole: list[EpochResult]  # the job before any fault
    pids: list[int]
    said: list[Lost]
    seconds: float
    successors: list[int]
    after: list[list[EpochResult]]


@pytest.fixture(scope="module")
def faults(slots: Slots) -> Faults:
    """Slot 0 is killed and slot 1 stopped, each after its first epoch; the successor of slot 1 is killed while idle."""
    whole, pids = trained(slots, 0, job()), [process(slots, 0), process(slots, 1)]
    said: dict[int, Lost] = {}
    slots.start(0, job(epochs=1000))
    slots.start(1, job(epochs=1000, patience=1.5))
    start = time.monotonic()
    while slots.busy:
        for index, _, event in slots.events(timeout=0.2):
            if isinstance(event, EpochResult):
                os.kill(pids[index], (signal.SIGKILL, signal.SIGSTOP)[index])
                slots.go_on(index)
            elif isinstance(event, Lost):
                said[index] = event
    seconds = time.monotonic() - start
    idle = process(slots, 1)
    os.kill(idle, signal.SIGKILL)
    slots._slots[1].process.join(5)
    after = both(slots)
    return Faults(
        whole=whole,
        pids=[*pids, idle],
        said=[said[0], said[1]],
        seconds=seconds,
        successors=[process(slots, 0), process(slots, 1)],
        after=after,
    )


def both(slots: Slots) -> list[list[EpochResult]]:
    """The same job on both slots at once, which may have to start first."""
    found: list[list[EpochResult]] = [[], []]
    for index in (0, 1):
        slots.start(index, job(patience=60.0))
    while slots.busy:
        for index, _, event in slots.events(timeout=0.2):
            assert not isinstance(event, (Failed, Lost)), event
            if isinstance(event, EpochResult):
                found[index].append(replace(event, seconds=0.0))
                slots.go_on(index)
    return found


def test_a_killed_slot_is_lost_by_name(faults: Faults) -> None:
    assert (faults.said[0].outcome, faults.said[0].counts) == ("crashed", True)
    assert "SIGKILL" in faults.said[0].message


def test_a_slot_without_a_sign_of_life_hung(faults: Faults) -> None:
    assert faults.said[1].outcome == "hung"
    assert "no progress for " in faults.said[1].message
    assert faults.seconds < 10
    assert not alive(faults.pids[1])


def test_replaced_slots_are_new_processes_and_give_the_same_bits(faults: Faults) -> None:
    assert not {*faults.pids} & {*faults.successors}
    assert faults.after == [faults.whole, faults.whole]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is of Linux")
def test_a_network_without_room_is_out_of_memory_and_gets_a_fresh_process(slots: Slots) -> None:
    trained(slots, 0, job())  # so that all is loaded
    before = process(slots, 0)
    pages = int(Path(f"/proc/{before}/statm").read_text().split()[0])
    resource.prlimit(before, resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30,) * 2)
    slots.start(0, job(ROOMY))

    failed = failure(finish(slots, 0))

    assert failed.outcome == "out-of-memory"
    assert "allocate" in failed.message
    assert process(slots, 0) != before
    assert (alive(before), alive(process(slots, 0))) == (False, True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"), True),
        (RuntimeError("shape '[64, 10]' is invalid for input of size 5"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_out_of_memory_is_known_by_its_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_an_unknown_fault_has_crashed_with_its_trace(setting: Setting, tmp_path: Path) -> None:
    bench = Bench(setting=replace(setting, split=tmp_path / "gone.npz"))

    *_, failed = run_job(job(), bench, lambda: False)

    assert isinstance(failed, Failed)
    assert failed.outcome == "crashed"
    assert "gone.npz" in failed.message
    assert "Traceback" in failed.trace


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_slot_leaves_in_order_at_a_signal_even_while_it_starts(
    number: signal.Signals, setting: Setting, tmp_path: Path
) -> None:
    """A terminal sends it to every process in front of it, and starting takes seconds."""
    with Slots([setting], log=tmp_path / "slots.log") as slots:
        os.kill(process(slots, 0), number)
        child = slots._slots[0].process
        child.join(30)

        assert child.exitcode == 128 + number
        assert "Traceback" not in (tmp_path / "slots.log").read_text()
        assert len(trained(slots, 0, job())) == 2  # another takes its place


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_a_training_that_is_left_goes_on_to_the_same_bits(
    number: signal.Signals | None, slots: Slots, tmp_path: Path
) -> None:
    whole = trained(slots, 0, job(epochs=4))
    slots.start(0, job(epochs=4, shelf=tmp_path))
    first = first_epoch(slots)
    slots.go_on(0)
    if number is None:
        slots.leave(0)
    else:
        os.kill(process(slots, 0), number)
    events = finish(slots, 0)
    assert events[-1] == Left(signal=number)

    rest = trained(slots, 1, job(epochs=4, shelf=tmp_path))

    before = [first, *(event for event in events if isinstance(event, EpochResult))]
    assert [replace(event, seconds=0.0) for event in before] + rest == whole


def test_a_training_that_takes_too_long_is_lost_by_name(slots: Slots) -> None:
    slots.start(0, job(epochs=10**6, limit=2.0))

    lost = finish(slots, 0)[-1]

    assert isinstance(lost, Lost)
    assert lost.outcome == "timed-out"
    assert "not done after 2 seconds" in lost.message


def test_the_stacks_of_a_slot_that_hangs_are_kept(tmp_path: Path, setting: Setting) -> None:
    with Slots([setting], log=tmp_path / "slots.log", work="stub:work") as slots:
        slots.start(0, job(name="0:hang", shelf=tmp_path / "0", patience=2.0))

        lost = finish(slots, 0)[-1]

    assert isinstance(lost, Lost)
    assert f"in {tmp_path / 'slots.log'}" in lost.message
    assert 'stub.py", line' in (tmp_path / "slots.log").read_text()


def test_slots_that_end_before_they_begin_stop_everything(setting: Setting, tmp_path: Path) -> None:
    with (
        pytest.raises(SlotError, match=r"3 slots in a row ended before they began: .* exit code 1; see .*slots.log"),
        Slots([setting], log=tmp_path / "slots.log", work="stub:nothing_of_that_name") as slots,
    ):
        list(slots.run_all([job()]))

    assert "nothing_of_that_name" in (tmp_path / "slots.log").read_text()


def test_closing_leaves_no_process(setting: Setting, tmp_path: Path) -> None:
    with Slots([setting], log=tmp_path / "slots.log") as slots:
        pid = process(slots, 0)
        slots.start(0, job())

    assert not alive(pid)
