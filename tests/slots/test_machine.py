"""The threads of a slot: the cores are shared among the slots, and a person may allow fewer."""

from __future__ import annotations

import os

import pytest

from search.slots.machine import survey


@pytest.mark.parametrize(
    ("allowed", "threads", "said"),
    [
        ("1", [1, 1], " of 1 thread by OMP_NUM_THREADS, "),
        ("3,2", [3, 2], " of 3 threads by OMP_NUM_THREADS, "),  # of nested loops the outer one
        ("8", [8, 2], " of 8 threads, "),
        ("64", [8, 2], " of 8 threads, "),
        *((nothing, [8, 2], " of 8 threads, ") for nothing in ("", "abc", "0", "-1", "1.5", "9" * 5000)),
    ],
)
def test_a_person_bounds_the_threads_of_a_slot_and_is_told_where_that_limits(
    allowed: str, threads: list[int], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr("search.container.Container._groups", lambda *_: iter(()))
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    one = survey("cpu", slots=1)
    assert [one.threads, one.with_slots(4).threads] == threads
    assert survey("cpu", slots=4).threads == threads[1]
    assert said in one.title
