"""A study is read as plain data, by anyone, at any time."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pytest

from studies import StudyError
from studies.history import History, read_history, study_names
from studies.manifest import Manifest
from studies.storage import StorageError
from studies.study import Study, open_study

ROOT = Path(__file__).parents[1]

MANIFEST = Manifest(
    space_name="tiny",
    space={"rate": [0.0, 1.0]},
    space_fingerprint="aaaa",
    split_fingerprint="bbbb",
    data_fingerprint="cccc",
    seed=0,
    epochs=2,
    retrain_epochs=9,
    versions={"optuna": "5.0.0"},
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


def start(url: str, name: str = "tiny") -> Study:
    return open_study(
        name,
        storage=url,
        sampler="random",
        pruner="none",
        trials=20,
        manifest=MANIFEST,
        conditional=False,
        differences=lambda _old, _new: [],
    )


def suggest(trial: optuna.Trial) -> dict[str, float | str]:
    return {"rate": trial.suggest_float("rate", 0, 1), "fixed": "relu"}


def test_every_state_is_read_back(url: str, tmp_path: Path) -> None:
    with start(url) as study:
        study.enqueue([("known", {"rate": 0.25})])
        for accuracy in (0.5, 0.9, 0.9, 0.7):
            number = study.ask(suggest).number
            study.note(number, parameters=1000 + number)
            study.report(number, epoch=1, accuracy=accuracy - 0.1)
            study.report(number, epoch=2, accuracy=accuracy)
            study.complete(number, accuracy)
        number = study.ask(suggest).number
        study.report(number, epoch=1, accuracy=0.3)
        study.prune(number)
        study.fail(study.ask(suggest).number, outcome="crashed", message="signal 11")
        study.report(study.ask(suggest).number, epoch=1, accuracy=0.4)
        study.put_back(study.ask(suggest).number)
        live = study.history()
        before = (tmp_path / "studies.db").read_bytes()
        history = read_history("tiny", storage=url)
    assert history == live
    assert (tmp_path / "studies.db").read_bytes() == before
    assert history.manifest == MANIFEST
    assert history.counts == {"complete": 4, "pruned": 1, "failed": 1, "running": 1, "waiting": 1}
    assert [trial.number for trial in history.top(3)] == [1, 2, 3]
    assert history.best is history.trials[1]
    first = history.trials[0]
    assert (first.baseline, first.values, first.attributes) == (
        "known",
        {"rate": 0.25, "fixed": "relu"},
        {"parameters": 1000},
    )
    assert first.epochs == ((1, 0.4), (2, 0.5))
    assert first.started is not None
    assert first.seconds is not None
    assert abs((datetime.now(UTC) - first.started).total_seconds()) < 60
    assert 0 <= first.seconds < 60
    running = history.trials[6]
    assert (running.state, running.accuracy, running.seconds) == ("running", 0.4, None)


def test_nothing_complete_has_no_best() -> None:
    empty = History(study="tiny", manifest=MANIFEST, planned=20, trials=())
    assert (empty.best, empty.top(3)) == (None, ())


def test_names_and_the_unknown_one(url: str) -> None:
    with pytest.raises(StorageError, match="there is no database"):
        study_names(url)
    start(url, "fast").__exit__()
    start(url, "cnn").__exit__()
    assert study_names(url) == ("fast", "cnn")
    with pytest.raises(StudyError, match=r"no study 'fats'; did you mean 'fast'\? known: fast, cnn"):
        read_history("fats", storage=url)


_WRITING = """
import sys
from studies.storage import open_storage
import optuna

study = optuna.load_study(study_name="tiny", storage=open_storage(sys.argv[1]))
for number in range(1000):
    trial = study.ask()
    trial.set_user_attr("values", {"rate": trial.suggest_float("rate", 0, 1)})
    trial.report(0.5, step=1)
    study.tell(trial, 0.5)
    if number == 0:
        print("writing", flush=True)
"""


def test_reads_while_another_process_writes(url: str) -> None:
    start(url).__exit__()
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITING, url],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        seen = [read_history("tiny", storage=url) for _ in range(8)]
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()
    lengths = [len(history.trials) for history in seen]
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0]
    assert all(trial.accuracy == 0.5 for history in seen for trial in history.trials if trial.state == "complete")
