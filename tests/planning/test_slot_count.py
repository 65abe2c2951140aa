"""As many slots as pay: measured, admitted by memory, and said so."""

from __future__ import annotations

from functools import partial
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


def measure(slots: int, *, most: int = 16) -> MeasuredCount:
    if slots > most:
        raise SlotError("the first steps failed: out of memory\nTraceback")
    return MeasuredCount(slots, SPEEDS[slots], memory_mb=100.0)


@pytest.mark.parametrize(
    ("room_mb", "most", "tried", "best", "end"),
    [
        (None, 16, [1, 2, 4, 8], 4, "8 slots gain less than 10 % more"),
        (399.0, 16, [1, 2], 2, "4 slots need 400 MB, and 399 MB may be taken"),
        (None, 2, [1, 2], 2, "4 slots failed (the first steps failed: out of memory)"),
    ],
)
def test_the_last_number_that_gains_a_tenth_and_fits_is_chosen_and_no_larger_one_is_tried(
    room_mb: float | None, most: int, tried: list[int], best: int, end: str
) -> None:
    count = try_counts([1, 2, 4, 8, 16], measure=partial(measure, most=most), room_mb=room_mb, interrupted=bool)
    assert ([row.slots for row in count.tried], count.best.slots) == (tried, best)
    assert count.lines[1] == "2 slots: 1,500 images/s, 100 MB each, 1.50 x one slot"
    assert count.lines[-1] == f"{best} slots at a time: {end}"


def test_a_slot_that_fails_alone_is_an_error_and_a_signal_ends_the_measurement() -> None:
    with pytest.raises(SlotError, match="out of memory"):
        try_counts([1, 2], measure=partial(measure, most=0), room_mb=None, interrupted=bool)
    count = try_counts([1, 2], measure=measure, room_mb=None, interrupted=lambda: True)
    assert count.lines == ("1 slot: 1,000 images/s, 100 MB each", "1 slot at a time: the measurement was interrupted")


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
    monkeypatch.setattr(slot_count, "free_mb", lambda _: [1e6])
    count = find_slot_count(
        machine,
        Job(name="a measurement", candidate=None),  # type: ignore[arg-type] # the stub trains nothing
        settings=lambda machine: machine.settings(source, split=tmp_path / "split.npz"),
        most=3,
        log=tmp_path / "log",
        work="stub:work",
        interrupted=lambda: False,
    )
    assert count.best.slots == max(steps(machine, most=3))  # a stub's speed grows with their number
    assert "1 slot: 1,000,000 images/s, " in count.lines[0]
