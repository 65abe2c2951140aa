"""A recording trains nothing twice, reads as it was written, and becomes a pool of candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from search.benchmarking import record
from search.benchmarking.candidate_pool import CHANCE, CandidatePool
from search.benchmarking.curves import CURVES, Curve, CurveTable, RecordedSetting, length, load
from search.benchmarking.record import RecordingTask
from search.data import synthetic
from search.data.sources import Source
from spaces import Space

SETTING = RecordedSetting(images=100, validation=5000, split="", space="", precision="float32")


def trained(tasks: Sequence[RecordingTask]) -> Iterator[tuple[RecordingTask, Curve]]:
    for task in tasks:
        accuracy = (0.5,) * length(task[1])
        yield task, Curve(accuracy=accuracy, loss=accuracy, steps=len(accuracy), seconds=1.0)


def test_a_resumed_recording_trains_nothing_twice(tmp_path: Path) -> None:
    path, asked = tmp_path / "curves.json", []

    def train_all(tasks: Sequence[RecordingTask]) -> Iterator[tuple[RecordingTask, Curve]]:
        asked.append(list(tasks))
        return trained(tasks)

    interrupted = record.record(path, setting=SETTING, candidates=2, train_all=train_all)
    for _ in range(3):
        next(interrupted)
    for _ in range(2):
        list(record.record(path, setting=SETTING, candidates=2, train_all=train_all))

    assert asked[0][3:] == asked[1]
    assert asked[2] == []
    assert [candidate.complete for candidate in load(path).candidates] == [True, True]


def test_a_recording_of_another_setting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    CurveTable(setting=replace(SETTING, images=7), candidates=()).save(path)
    with pytest.raises(ValueError, match="was recorded with"):
        list(record.record(path, setting=SETTING, candidates=2, train_all=trained))


def test_a_candidate_is_trained_as_its_schedule_says(monkeypatch: pytest.MonkeyPatch) -> None:
    images = synthetic.training(300)
    monkeypatch.setattr(synthetic, "training", lambda: images)
    task, curve = record.train_one((0, "2/A"), source=Source(kind="synthetic", folder=None), images=100)
    assert task == (0, "2/A")
    assert len(curve.accuracy) == len(curve.loss) == 2
    assert curve.steps > 0


def test_a_recording_reads_as_it_was_written(tmp_path: Path, curves: CurveTable) -> None:
    curves.save(tmp_path / "curves.json")
    assert load(tmp_path / "curves.json") == curves
    load(CURVES).save(tmp_path / "curves.json")
    assert (tmp_path / "curves.json").read_bytes() == CURVES.read_bytes()


def test_a_training_that_diverged_answers_at_chance(curves: CurveTable, space: Space) -> None:
    first = curves.candidates[0]
    short = replace(first.curves["4/A"], accuracy=(0.3,))
    one = replace(first, curves={**first.curves, "4/A": short})
    pool = CandidatePool.of(replace(curves, candidates=(one,)), space)
    assert pool.scores["4/A"][0].tolist() == [0.3, CHANCE, CHANCE, CHANCE]


def test_the_place_of_a_candidate_is_nearest_to_itself(pool: CandidatePool) -> None:
    every = range(len(pool))
    assert [pool.nearest(pool.places[number].tolist(), every) for number in every] == list(every)
    assert pool.places.min() >= 0
    assert pool.places.max() <= 1
