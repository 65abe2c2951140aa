"""A call without an answer, whether it was stored or not, is made again: the same answer, and nothing twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tiny import SHA256, Start, ask, check, database, finish, run, starter, suggest

from studies.storage import StorageError
from studies.study import Study


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database(tmp_path)


@pytest.fixture
def start(url: str) -> Start:
    return starter(url)


@contextmanager
def no_answer(study: Study, *, kept: bool, after: int = 0) -> Iterator[None]:
    """The next commit is kept and nobody learns of it, or it is not kept."""
    dialect = study._storage.engine.dialect
    commit = dialect.do_commit

    left = after

    def fail(connection: Any) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            return commit(connection)
        dialect.do_commit = commit  # type: ignore[method-assign]
        if kept:
            commit(connection)
        raise sqlite3.OperationalError("the line went dead")  # as SQLAlchemy gets it from the driver

    dialect.do_commit = fail  # type: ignore[method-assign]
    with suppress(StorageError):
        yield
    assert left < 0


Call = Callable[[Study], object]

CALLS: dict[str, Call] = {
    "report": lambda study: study.report(0, epoch=3, accuracy=0.5, loss=1.0),
    "prune": lambda study: study.prune(0, violations={"flops": 0.5}, parameters=7),
    "fail": lambda study: study.fail(0, outcome="crashed", message="signal 11"),
    "infeasible": lambda study: study.fail(0, outcome="infeasible", message="too large", violations={"flops": 1.5}),
    "lose": lambda study: study.lose(0, outcome="hung", message="silent"),
    "put_back": lambda study: study.put_back(0),
    "enqueue": lambda study: study.enqueue([("known", {"rate": 0.5, "width": 4})]),
    "complete": lambda study: study.complete(1, checkpoint=SHA256, images_per_second=9.0),
}


@pytest.mark.fault("the answer to a commit is lost", then="the call is repeated; nothing is stored twice")
@pytest.mark.parametrize(
    ("name", "kept"), [*((name, True) for name in CALLS), *((name, False) for name in ("report", "lose", "complete"))]
)
def test_call_without_an_answer_is_made_again(start: Start, name: str, kept: bool) -> None:
    """It gives the same answer, and the records are those of one call."""
    answers, records = [], []
    for study_name, losing in (("lost", True), ("plain", False)):
        with start(study_name) as study:
            ask(study), ask(study)
            for epoch in (1, 2, 3):
                study.report(1, epoch=epoch, accuracy=0.5)
            if losing:
                with no_answer(study, kept=kept):
                    CALLS[name](study)
            answers.append(CALLS[name](study))
            trials = study.history().trials
            records.append([{**vars(trial), "started": None, "seconds": None} for trial in trials])
            assert "known" in str(trials) or name != "enqueue"
            assert ask(study).number == (0 if name in {"lose", "put_back"} else 2)
    assert answers[0] == answers[1]
    assert records[0] == records[1]


def test_third_loss_whose_answer_was_lost(start: Start) -> None:
    with start() as study:
        for _ in range(2):
            ask(study)
            assert study.lose(0, outcome="hung", message="silent")
        ask(study)
        with no_answer(study, kept=True):
            study.lose(0, outcome="hung", message="silent")
        assert not study.lose(0, outcome="hung", message="silent")
        assert len(study.history().trials[0].losses) == 3


@pytest.mark.parametrize("commits", range(1, 12))
def test_trial_whose_handing_out_was_lost_is_handed_out_again(start: Start, url: str, commits: int) -> None:
    """After whichever commit of an ask the answer is lost, no trial is lost and none is made twice."""
    with start(trials=2, sampler="tpe") as study:
        asked = None
        with no_answer(study, kept=True, after=commits - 1):
            asked = study.ask(suggest)  # Optuna itself makes a new trial where it gets no answer
        if asked:
            finish(study, asked)
        run(study)
    assert [trial.state for trial in check(url).trials] == ["complete", "complete"]
