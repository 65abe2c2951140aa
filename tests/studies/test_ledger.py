"""Openings of the test set are added to the ledger, and none is lost or changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest

from studies import StudyError
from studies.history import Opening, openings, record_opening
from studies.storage import opened, owned


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/studies.db"
    with opened(url) as storage:
        optuna.create_study(study_name="tiny", storage=storage)
    return url


def record(url: str, trial: int, *, study: str = "tiny") -> Opening:
    with owned(url, study=study) as storage:
        return record_opening(
            study, storage=storage, candidate_trial=trial, weights_sha256=["ab" * 32, "cd" * 32], seeds=[1, 2]
        )


def test_openings_are_added_in_order(url: str) -> None:
    assert openings("tiny", storage=url) == ()
    first, second = record(url, 7), record(url, 9)
    assert openings("tiny", storage=url) == (first, second)
    assert (first.number, first.candidate_trial, second.number) == (1, 7, 2)
    assert first.weights_sha256 == ("ab" * 32, "cd" * 32)
    assert datetime.fromisoformat(first.time).utcoffset() == timedelta(0)


def test_ledger_of_an_unknown_study(url: str) -> None:
    with pytest.raises(StudyError, match=r"no study 'tinny'; did you mean 'tiny'\?"):
        record(url, 0, study="tinny")
    with pytest.raises(StudyError, match="no study 'tinny'"):
        openings("tinny", storage=url)
