"""A recording trains nothing twice, reads as it was written, and becomes a pool of candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from search.benchmarking import record
from search.benchmarking.candidate_pool import CHANCE, CURVES, SCHEDULES, CandidatePool, Curve, CurveTable
from search.benchmarking.record import Result, Task
from search.data import synthetic
from search.data.sources import Source
from spaces import Space


def trained(tasks: Sequence[Task]) -> Iterator[Result]:
    for task in tasks:
        accuracy = (0.5,) * SCHEDULES[task[1]]
        yield task, Curve(accuracy=accuracy, loss=accuracy, steps=len(accuracy), seconds=1.0)


def test_a_resumed_recording_trains_nothing_twice_and_refuses_another_setting(
    tmp_path: Path, curves: CurveTable
) -> None:
    path, asked = tmp_path / "curves.json", []

    def train_all(tasks: Sequence[Task]) -> Iterator[Result]:
        asked.append(list(tasks))
        return trained(tasks)

    interrupted = record.record(path, setting=curves.setting, candidates=2, train_all=train_all)
    for _ in range(3):
        next(interrupted)
    for _ in range(2):
        list(record.record(path, setting=curves.setting, candidates=2, train_all=train_all))
    assert asked[0][3:] == asked[1]
    assert asked[2] == []
    assert [entry.curves.keys() for entry in CurveTable.load(path).candidates] == [SCHEDULES.keys()] * 2
    with pytest.raises(ValueError, match="was recorded with"):
        list(record.record(path, setting=replace(curves.setting, images=7), candidates=2, train_all=train_all))


def test_a_candidate_is_trained_as_its_schedule_says(monkeypatch: pytest.MonkeyPatch) -> None:
    images = synthetic.training(300)
    monkeypatch.setattr(synthetic, "training", lambda: images)
    monkeypatch.setattr(record, "IMAGES", 100)
    task, curve = record.train_one((0, "2/A"), source=Source(kind="synthetic", title="generated images"))
    assert task == (0, "2/A")
    assert len(curve.accuracy) == len(curve.loss) == 2
    assert curve.steps > 0


def test_a_recording_reads_as_it_was_written(tmp_path: Path, curves: CurveTable) -> None:
    curves.save(tmp_path / "curves.json")
    assert CurveTable.load(tmp_path / "curves.json") == curves
    CurveTable.load(CURVES).save(tmp_path / "curves.json")
    assert (tmp_path / "curves.json").read_bytes() == CURVES.read_bytes()


def test_a_training_that_diverged_answers_at_chance(curves: CurveTable, space: Space) -> None:
    first = curves.candidates[0]
    short = replace(first.curves["4/A"], accuracy=(0.3,))
    one = replace(first, curves={**first.curves, "4/A": short})
    pool = CandidatePool.of(replace(curves, candidates=(one,)), space)
    assert pool.scores["4/A"][0].tolist() == [0.3, CHANCE, CHANCE, CHANCE]


def test_the_place_of_a_candidate_is_nearest_to_itself(pool: CandidatePool) -> None:
    every = range(len(pool.stored))
    assert [pool.nearest(pool.places[number].tolist(), every) for number in every] == list(every)
    assert pool.places.min() >= 0
    assert pool.places.max() <= 1
