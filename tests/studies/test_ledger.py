"""Openings of the test set are added to the ledger, and none is lost or changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest

from studies import StudyError
from studies.ledger import Opening, openings, record_opening
from studies.storage import opened


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/studies.db"
    with opened(url) as storage:
        optuna.create_study(study_name="tiny", storage=storage)
    return url


def record(url: str, trial: int) -> Opening:
    return record_opening(
        "tiny", storage=url, candidate_trial=trial, weights_sha256=["ab" * 32, "cd" * 32], seeds=[1, 2]
    )


def test_openings_are_added_in_order(url: str) -> None:
    assert openings("tiny", storage=url) == ()
    first, second = record(url, 7), record(url, 9)
    assert openings("tiny", storage=url) == (first, second)
    assert (first.number, first.candidate_trial, second.number) == (1, 7, 2)
    assert first.weights_sha256 == ("ab" * 32, "cd" * 32)
    assert datetime.fromisoformat(first.time).utcoffset() == timedelta(0)


def test_openings_at_once_all_stay(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        recorded = list(pool.map(lambda trial: record(url, trial), range(8)))
    kept = openings("tiny", storage=url)
    assert sorted(recorded, key=lambda opening: opening.number) == list(kept)
    assert [opening.number for opening in kept] == list(range(1, 9))
    assert {opening.candidate_trial for opening in kept} == set(range(8))


def test_ledger_of_an_unknown_study(url: str) -> None:
    with pytest.raises(StudyError, match=r"no study 'tinny'; did you mean 'tiny'\?"):
        record_opening("tinny", storage=url, candidate_trial=0, weights_sha256=[], seeds=[])
    with pytest.raises(StudyError, match="no study 'tinny'"):
        openings("tinny", storage=url)
