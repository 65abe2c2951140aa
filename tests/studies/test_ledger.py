"""Openings of a test set are counted over a whole storage, and none is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from tiny import MANIFEST, Start, run

from studies import StudyError
from studies.history import LEDGER, latest_study, load_study
from studies.ledger import Opening, openings, record
from studies.listing import delete, histories
from studies.storage import opened

OPENING = Opening(by="study tiny", trial=7, weights_sha256=("ab" * 32, "cd" * 32), data_sha256="images")


def write(url: str, opening: Opening) -> None:
    with opened(url) as storage:
        record(opening, storage=storage)


def read(url: str, test: str = "images") -> tuple[Opening, ...]:
    return openings(url, test=test, training=MANIFEST.data_fingerprint)


def test_openings_of_these_images_are_counted_in_order_and_once(url: str, tmp_path: Path) -> None:
    assert read(f"sqlite:///{tmp_path}/none.db") == read(url) == ()
    second = Opening(by="baseline mlp", weights_sha256=("ef" * 32,), data_sha256="images")
    for opening in (second, OPENING, OPENING, replace(OPENING, data_sha256="others", by="study other")):
        write(url, opening)
    assert read(url) == (OPENING, second)
    assert datetime.fromisoformat(OPENING.time).utcoffset() == timedelta(0)
    assert OPENING.title == f"study tiny, trial 7, {OPENING.time[:10]} {OPENING.time[11:16]} UTC"


def test_writers_at_the_same_moment_lose_none(url: str) -> None:
    given = [replace(OPENING, by=f"study {number}") for number in range(8)]
    with ThreadPoolExecutor(max_workers=8) as writers:
        list(writers.map(lambda opening: write(url, opening), given))
    assert set(read(url)) == set(given)


def test_the_ledger_is_no_study_of_anybody(url: str) -> None:
    write(url, OPENING)
    assert (histories(url), latest_study(url)) == ({}, None)
    with opened(url) as storage, pytest.raises(StudyError, match="known: none"):
        load_study("tinny", storage=storage)
    with opened(url) as storage:
        assert load_study(LEDGER, storage=storage).get_trials() == []


def test_what_an_earlier_version_recorded_counts_and_outlives_its_study(url: str, start: Start, tmp_path: Path) -> None:
    with start(trials=1) as study:
        run(study)
    old = {"number": 1, "time": "2026-01-02T03:04:05+00:00", "candidate_trial": 0, "weights_sha256": ["ab"]}
    with opened(url) as storage:
        optuna.load_study(study_name="tiny", storage=storage).set_user_attr("test_opening_0001", {**old, "seeds": [1]})
    expected = Opening(
        by="study tiny", trial=0, weights_sha256=("ab",), data_sha256=MANIFEST.data_fingerprint, time=str(old["time"])
    )
    write(url, OPENING)
    assert read(url) == (expected, OPENING)
    delete("tiny", storage=url, folder=tmp_path / "tiny", runs=tmp_path)
    assert read(url) == (expected, OPENING)
    assert openings(url, test="images", training="others") == (OPENING,)
