"""A study is read as plain data, by anyone, at any time."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, event
from tiny import MANIFEST, SHA256, ask, database, finish, forked, run, starter, suggest

from studies import StudyError
from studies.history import History, Reader, read_history, study_names
from studies.storage import StorageError, reading


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database(tmp_path)


def test_every_state_is_read_back(url: str, tmp_path: Path) -> None:
    manifest = replace(MANIFEST, epochs=2)
    with starter(url)(manifest=manifest, provenance={"host": "here"}) as study:
        study.enqueue([("known", {"rate": 0.25})])
        for accuracy in (0.5, 0.9, 0.9, 0.7):
            number = ask(study).number
            study.note(number, parameters=1000 + number)
            study.report(number, epoch=1, accuracy=accuracy - 0.1)
            study.report(number, epoch=2, accuracy=accuracy)
            study.complete(number, checkpoint=SHA256)
        number = ask(study).number
        study.report(number, epoch=1, accuracy=0.3)
        study.prune(number)
        study.fail(ask(study).number, outcome="crashed", message="signal 11")
        study.report(ask(study).number, epoch=1, accuracy=0.4)
        study.lose(ask(study).number, outcome="hung", message="silent")
        live = study.history()
        before = (tmp_path / "studies.db").read_bytes()
        history = read_history("tiny", storage=url)
        assert history == live
        assert (tmp_path / "studies.db").read_bytes() == before
    assert (history.manifest, history.planned) == (manifest, 20)
    assert history.counts == {"complete": 4, "pruned": 1, "failed": 1, "running": 1, "waiting": 1}
    assert [trial.number for trial in history.top(3)] == [1, 2, 3]
    assert history.best is history.trials[1]
    first = history.trials[0]
    assert (first.baseline, first.values["rate"], first.values["fixed"]) == ("known", 0.25, "relu")
    assert (first.attributes, first.checkpoint, first.attempts) == ({"parameters": 1000}, SHA256, 1)
    assert first.epochs == ((1, 0.4), (2, 0.5))
    assert first.started is not None
    assert first.seconds is not None
    assert abs((datetime.now(UTC) - first.started).total_seconds()) < 60
    assert 0 <= first.seconds < 60
    running = history.trials[6]
    assert (running.state, running.accuracy, running.seconds) == ("running", 0.4, None)
    assert running.owner is not None
    assert history.starts == ({"host": "here", "owner": running.owner},)
    owner = history.supervisors[running.owner]
    assert (owner.pid, owner.host) == (os.getpid(), running.place)
    (loss,) = history.trials[7].losses
    assert (loss.attempt, loss.outcome, loss.message) == (1, "hung", "silent")
    assert read_history("tiny", storage=url).supervisors == {}  # it has left


def test_finished_trials_are_read_once(url: str) -> None:
    with starter(url)(trials=30) as study:
        for _ in range(10):
            finish(study, ask(study))
        reader = Reader("tiny", study_id=study._seat.reader.study_id)
        rows = []

        def count(_connection: Connection, cursor: object, statement: str, *_: object) -> None:
            rows.append(statement)

        with reading(url) as connection:
            event.listen(connection.engine, "after_cursor_execute", count)
            first = reader.trials(connection)
        asked, statements = ask(study), len(rows)
        study.report(asked.number, epoch=1, accuracy=0.5)
        with reading(url) as connection:
            second = reader.trials(connection)
            assert [new is old for new, old in zip(second, first, strict=False)] == [True] * 10
            assert (len(second), statements) == (11, 5)
        finish(study, asked)
        with reading(url) as connection:
            assert reader.trials(connection)[10].state == "complete"
            assert reader.trials(connection) == study.history().trials


def test_trials_from_before_attempts_were_counted(url: str) -> None:
    """An earlier version kept the values and the seed by themselves."""
    with starter(url)() as study:
        trial = study._seat.study.ask()
        trial.set_user_attr("values", suggest(trial))
        trial.set_user_attr("seed", 7)
        trial.set_user_attr("flops", 1e6)
        study._seat.study.tell(trial, 0.5)
        (record,) = study.history().trials
    assert (record.values["fixed"], record.seed, record.attributes, record.attempts) == ("relu", 7, {"flops": 1e6}, 0)


def test_nothing_complete_has_no_best() -> None:
    empty = History(study="tiny", manifest=MANIFEST, planned=20, trials=())
    assert (empty.best, empty.top(3)) == (None, ())


def test_names_and_the_unknown_one(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no database"):
        study_names(f"sqlite:///{tmp_path}/other.db")
    starter(url)("fast").__exit__()
    starter(url)("cnn").__exit__()
    assert study_names(url) == ("fast", "cnn")
    with pytest.raises(StudyError, match=r"no study 'fats'; did you mean 'fast'\? known: fast, cnn"):
        read_history("fats", storage=url)


def test_reads_while_another_process_writes(url: str) -> None:
    starter(url)().__exit__()
    pid = os.fork()
    if not pid:
        os._exit(forked(partial(_write, url)))
    seen = []
    deadline = time.monotonic() + 30
    while len(seen) < 50 and time.monotonic() < deadline:
        seen.append(read_history("tiny", storage=url))
    assert os.waitpid(pid, 0)[1] == 0
    lengths = [len(history.trials) for history in seen]
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0]
    assert all(
        len(trial.epochs) == len(trial.curve) == MANIFEST.epochs
        for history in seen
        for trial in history.trials
        if trial.state == "complete"
    )


def _write(url: str) -> None:
    with starter(url)(trials=20) as study:
        run(study)
