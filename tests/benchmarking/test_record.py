"""Recording the pool goes on after a stop, trains what its file lacks, and mixes no two settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search.benchmarking import record as recording
from search.benchmarking.candidate_pool import CANDIDATES, Curve, CurveTable, entry_of, looks_of
from search.benchmarking.record import Result, Task, record, train_one
from search.data import synthetic
from search.data.sources import find_source
from search.data.split import standard_split
from search.data.store import store

CURVE = Curve(accuracy=(0.5,), steps=3, precision="float32", seconds=1.0)


def trained(tasks: Sequence[Task]) -> Iterator[Result]:
    return ((task, CURVE) for task in tasks)


def test_a_stop_costs_only_what_was_not_saved(tmp_path: Path) -> None:
    file = tmp_path / "pool.json"
    first = record(file, split="s", candidates=3, train_all=trained)
    begun = [next(first) for _ in range(4)]
    again = [*record(file, split="s", candidates=3, train_all=trained)]
    assert sorted([*begun, *again]) == sorted((n, name) for n in range(3) for name in entry_of(n).schedules)
    assert not [*record(file, split="s", candidates=3, train_all=trained)]
    table = CurveTable.load(file)
    assert [entry.number for entry in table.entries] == [0, 1, 2]
    assert table.entries[2].curves["128/B"] == CURVE
    with pytest.raises(ValueError, match="another split or space"):
        next(record(file, split="other", candidates=3, train_all=trained))


def test_the_pool_has_as_many_of_each_kind_and_is_always_the_same() -> None:
    entries = [entry_of(number) for number in range(CANDIDATES)]
    kinds = [entry.kind for entry in entries]
    assert [kinds.count(kind) for kind in ("known", "near", "narrow", "wide")] == [4, 20, 20, 20]
    assert entries == [entry_of(number) for number in range(CANDIDATES)]
    assert len({str(entry.values) for entry in entries}) == CANDIDATES


def test_a_training_is_validated_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    images = synthetic.training(600)
    data = store(images, split=standard_split(images, seed=0), device=torch.device("cpu"))
    monkeypatch.setattr(recording, "_data", lambda _: data)
    monkeypatch.setattr(
        recording, "entry_of", lambda number: replace(entry_of(number), flops=30 * entry_of(number).flops)
    )
    (number, schedule), curve = train_one((3, "16/A"), source=find_source("synthetic"))
    assert (number, schedule, len(curve.accuracy)) == (3, "16/A", len(looks_of(16)))
    assert all(0 <= accuracy <= 1 for accuracy in curve.accuracy)
