"""As many slots as pay: measured, admitted by memory, and said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.data.sources import find_source
from search.planning import slot_count
from search.planning.slot_count import MeasuredCount, find_slot_count, steps, try_counts
from search.slots.job import Job
from search.slots.machine import Machine, survey
from search.slots.slot_state import SlotError

SPEEDS = {1: 1000.0, 2: 1500.0, 4: 1800.0, 8: 1900.0, 16: 5000.0}


def machine(*, gpus: int = 0, cores: int = 8) -> Machine:
    kind = "cuda" if gpus else "cpu"
    return Machine(kind=kind, name="", gpus=gpus, cores=cores, slots=1, threads=cores, precision="float32")


def measure(slots: int, *, memory: float = 100.0) -> MeasuredCount:
    return MeasuredCount(slots=slots, images_per_second=SPEEDS[slots], memory_mb=memory)


def test_the_last_number_that_gains_a_tenth_is_chosen_and_no_larger_one_is_tried_after_it() -> None:
    found = try_counts([1, 2, 4, 8, 16], measure=measure, room_mb=None)

    assert [row.slots for row in found.tried] == [1, 2, 4, 8]
    assert found.best.slots == 4
    assert found.lines[1] == "2 slots: 1,500 images/s, 100 MB each, 1.50 x one slot"
    assert found.lines[-1] == "4 slots at a time: 8 slots gain less than 10 % more"


def test_slots_that_do_not_fit_into_the_memory_are_never_started() -> None:
    found = try_counts([1, 2, 4], measure=measure, room_mb=399.0)

    assert [row.slots for row in found.tried] == [1, 2]
    assert found.best.slots == 2
    assert found.lines[-1] == "2 slots at a time: 4 slots need 400 MB, and 399 MB may be taken"


def test_slots_that_fail_together_end_the_search_for_more_but_one_that_fails_alone_is_an_error() -> None:
    def broken(slots: int, *, most: int) -> MeasuredCount:
        if slots > most:
            raise SlotError("the first steps failed: out of memory\nTraceback")
        return measure(slots)

    found = try_counts([1, 2, 4], measure=lambda slots: broken(slots, most=2), room_mb=None)

    assert found.best.slots == 2
    assert "out of memory" in found.end
    with pytest.raises(SlotError, match="out of memory"):
        try_counts([1, 2], measure=lambda slots: broken(slots, most=0), room_mb=None)


@pytest.mark.parametrize(
    ("cores", "gpus", "most", "numbers"),
    [
        (8, 0, 50, [1, 2, 4, 8]),
        (12, 0, 50, [1, 2, 4, 12]),
        (6, 0, 50, [1, 2, 6]),
        (7, 0, 50, [1, 7]),
        (8, 0, 3, [1, 2]),
        (8, 1, 10, [1, 2, 4, 8]),
        (8, 2, 5, [2, 4]),
    ],
)
def test_threads_share_the_cores_evenly_and_gpus_get_as_many_slots_each(
    cores: int, gpus: int, most: int, numbers: list[int]
) -> None:
    assert list(steps(machine(gpus=gpus, cores=cores), most=most)) == numbers
    assert gpus or all(machine(cores=cores).with_slots(n).threads * n == cores for n in numbers)


def test_slots_are_measured_on_real_processes_with_their_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, source = survey("cpu"), find_source("synthetic")
    trial = Job(name="a measurement", candidate=None)  # type: ignore[arg-type] # the stub trains nothing
    monkeypatch.setattr(slot_count, "free_mb", lambda _: [1e6])

    count = find_slot_count(
        machine,
        trial,
        settings=lambda machine: machine.settings(source, split=tmp_path / "split.npz"),
        most=3,
        log=tmp_path / "log",
        work="stub:work",
        interrupted=lambda: False,
    )

    assert count.best.slots == max(steps(machine, most=3))  # a stub's speed grows with their number
    assert "1 slot: 1,000,000 images/s, " in count.lines[0]
