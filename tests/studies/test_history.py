"""A study is read as plain data, by anyone, at any time."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import optuna
import pytest
from tiny import MANIFEST, SHA256, ask, fork, run, starter

from studies import StudyError
from studies.history import History, find_history, latest_study, read_history
from studies.storage import StorageError, opened

ASSETS = Path(__file__).parents[1] / "assets"


def test_every_state_is_read_back(url: str, tmp_path: Path) -> None:
    manifest = replace(MANIFEST, epochs=2)
    with starter(url)(manifest=manifest, provenance={"host": "here"}) as study:
        study.enqueue([("known", {"rate": 0.25})])
        for accuracy in (0.5, 0.9, 0.9, 0.7):
            number = ask(study).number
            study.report(number, epoch=1, accuracy=accuracy - 0.1)
            study.report(number, epoch=2, accuracy=accuracy)
            study.complete(number, checkpoint=SHA256, parameters=1000 + number)
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
    assert first.started
    assert first.seconds
    assert abs((datetime.now(UTC) - first.started).total_seconds()) < 60
    assert 0 < first.seconds < 60
    running = history.trials[6]
    assert (running.state, running.accuracy, running.seconds) == ("running", 0.4, None)
    assert (running.start, history.starts) == (1, ({"host": "here", "trials": "20"},))
    (loss,) = history.trials[7].losses
    assert (loss.attempt, loss.outcome, loss.message) == (1, "hung", "silent")


def test_a_study_of_format_1_is_read(tmp_path: Path) -> None:
    """Made by the version before there was a format number (commit 3becf19); see tests/assets/README.md."""
    shutil.copy(ASSETS / "format-1.db", tmp_path / "studies.db")
    history = read_history("smoke", storage=f"sqlite:///{tmp_path}/studies.db")
    assert (history.manifest.format, history.counts["complete"]) == (1, 5)
    assert history.best
    assert (history.best.number, history.best.accuracy) == (3, 0.715)
    assert history.trials[0].baseline == "tiny"
    assert len(history.trials[0].curve) == 2


def test_nothing_complete_has_no_best() -> None:
    empty = History(study="tiny", manifest=MANIFEST, planned=20, trials=())
    assert (empty.best, empty.top(3)) == (None, ())


def test_the_latest_study_and_the_unknown_one(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no database"):
        latest_study(f"sqlite:///{tmp_path}/other.db")
    assert (latest_study(url), find_history("fast", storage=url)) == (None, None)
    for name, time in (("fast", "2026-01-02"), ("cnn", "2026-01-01")):
        with starter(url)(name, provenance={"time": time}):
            pass
    with opened(url) as storage:
        optuna.create_study(study_name="foreign", storage=storage)
    assert latest_study(url) == "fast"
    with pytest.raises(StudyError, match=r"no study 'fats'; did you mean 'fast'\? known: fast, cnn, foreign"):
        read_history("fats", storage=url)
    assert find_history("fats", storage=url) is None
    assert find_history("fats", storage=f"sqlite:///{tmp_path}/other.db") is None


def test_reads_while_another_process_writes(url: str) -> None:
    with starter(url)():
        pass
    pid, seen = fork(partial(_write, url)), []
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        seen.append(read_history("tiny", storage=url))
    seen.append(read_history("tiny", storage=url))
    assert len(seen[-1].trials) == 10
    lengths = [len(history.trials) for history in seen]
    assert lengths == sorted(lengths)
    assert all(
        len(trial.epochs) == len(trial.curve) == MANIFEST.epochs
        for history in seen
        for trial in history.trials
        if trial.state == "complete"
    )


def _write(url: str) -> None:
    with starter(url)(trials=10) as study:
        run(study)
