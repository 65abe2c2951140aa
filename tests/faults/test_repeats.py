"""A call without an answer, whether it was stored or not, is made again: the same answer, and nothing twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
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
def no_answer(study: Study, *, kept: bool, after: int) -> Iterator[list[str]]:
    """After so many commits of changes, one is kept and nobody learns of it, or it is not; gives what was lost."""
    dialect, lost = study._storage.engine.dialect, list[str]()
    commit, left = dialect.do_commit, after

    def fail(connection: Any) -> None:
        nonlocal left
        left -= connection.total_changes > 0  # of this connection, which is a new one for each transaction
        if left >= 0 or not connection.total_changes:
            return commit(connection)
        dialect.do_commit = commit  # type: ignore[method-assign]
        if kept:
            commit(connection)
        lost.append("an answer")
        raise sqlite3.OperationalError("the line went dead")  # as SQLAlchemy gets it from the driver

    dialect.do_commit = fail  # type: ignore[method-assign]
    with suppress(StorageError):
        yield lost
    dialect.do_commit = commit  # type: ignore[method-assign]


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
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("name", CALLS)
def test_call_without_an_answer_is_made_again(start: Start, name: str, kept: bool) -> None:
    """Whichever of its commits is lost, it gives the same answer, and the records are those of one call."""
    expected, lost = called(start, "plain", name), ["an answer"]
    for after in count():
        with start(f"lost-{after}") as study:
            prepare(study)
            with no_answer(study, kept=kept, after=after) as lost:
                CALLS[name](study)
            assert outcome(study, name) == expected, after
        if not lost:
            break
    assert after > 0


def called(start: Start, study_name: str, name: str) -> tuple[object, ...]:
    with start(study_name) as study:
        prepare(study)
        return outcome(study, name)


def prepare(study: Study) -> None:
    ask(study), ask(study)
    for epoch in (1, 2, 3):
        study.report(1, epoch=epoch, accuracy=0.5)


def outcome(study: Study, name: str) -> tuple[object, ...]:
    """The answer to the call, the records, and which trial is next."""
    answer, trials = CALLS[name](study), study.history().trials
    assert "known" in str(trials) or name != "enqueue"
    return answer, [{**vars(trial), "started": None, "seconds": None} for trial in trials], ask(study).number


@pytest.mark.parametrize("after", range(4))
def test_third_loss_whose_answer_was_lost(start: Start, after: int) -> None:
    with start() as study:
        for _ in range(2):
            ask(study)
            assert study.lose(0, outcome="hung", message="silent")
        ask(study)
        with no_answer(study, kept=True, after=after):
            study.lose(0, outcome="hung", message="silent")
        assert not study.lose(0, outcome="hung", message="silent")
        assert len(study.history().trials[0].losses) == 3


@pytest.mark.parametrize("commits", range(1, 5))
def test_trial_whose_handing_out_was_lost_is_handed_out_again(start: Start, url: str, commits: int) -> None:
    """After whichever commit of an ask the answer is lost, no trial is lost and none is made twice."""
    with start(trials=2, sampler="tpe") as study:
        with no_answer(study, kept=True, after=commits - 1):
            study.ask(suggest)
        asked = ask(study)
        assert (asked.number, len(study.history().trials)) == (0, 1)
        finish(study, asked)
        run(study)
    assert len(check(url).trials) == 2
