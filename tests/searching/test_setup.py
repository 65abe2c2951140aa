"""What a person is told who goes on with a study by half of its command, or asks for more than it has room for."""

from __future__ import annotations

import re
import shlex
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from tiny import database

from search.searching import supervisor
from search.searching.request import Search
from search.searching.setup import Setup
from search.searching.study_data import keep
from search.searching.study_folder import StudyFolder
from studies.history import History, read_history
from studies.storage import owned

pytestmark = pytest.mark.usefixtures("images")

Call = Callable[..., tuple[int, str, str]]
SEED003 = "seed003"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., History]:
    """Starts the study `mine` as a command line does, but for the trainings, which end at once."""

    def study(space: str = "smoke", *, trials: int = 2, program: str = "cifar-search", **options: str) -> History:
        command = f"{program} run --space {space} --study mine --data synthetic --trials={trials} --runs {tmp_path}"
        monkeypatch.setattr(sys, "argv", command.split())
        given = {"space": space, "study": "mine", "data": "synthetic", "folder": tmp_path, "device": "cpu", **options}
        setup = Setup.of(Search(trials=trials, **given))
        with owned(setup.url, study=setup.name) as storage:
            opened = setup.study(replace(setup.draft()[0], epochs=1), storage=storage, carry=None)
            opened.enqueue(setup.queue(), first=setup.search.enqueue)
            while asked := opened.ask(setup.space.suggest):
                opened.report(asked.number, epoch=1, accuracy=0.5)
                opened.complete(asked.number, parameters=1234, flops=5e6)
            return opened.history()

    database(tmp_path)
    monkeypatch.delenv("CIFAR_SEARCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    slots = MagicMock()
    slots.return_value.__enter__.return_value.measure.return_value = 1000.0
    monkeypatch.setattr(supervisor, "Pool", slots)
    return study


def half(call: Call, tmp_path: Path, *words: str) -> tuple[int, str, str]:
    return call("run", "--study", "mine", "--trials", "60", "--runs", tmp_path, *words)


@pytest.mark.parametrize(("more", "code"), [((), 3), (("--data", "synthetic"), 4)])
def test_half_of_the_command_is_answered_by_the_whole(
    study: Callable[..., History], call: Call, tmp_path: Path, more: tuple[str, ...], code: int
) -> None:
    before = study()

    found, output, errors = half(call, tmp_path, *more)

    assert (found, output) == (code, "")
    assert errors.startswith("cifar-search: ")
    (line,) = re.findall(r"it goes on with:\n  (.*)\n$", errors)
    words = f"cifar-search run --space smoke --study mine --data synthetic --runs {tmp_path} --trials 60"
    assert shlex.split(line) == words.split()
    assert not (tmp_path / "cache").exists()  # and nothing was fetched
    assert read_history("mine", storage=f"sqlite:///{tmp_path}/studies.db") == before


def test_of_a_study_that_python_started_the_space_and_the_data_are_told(
    study: Callable[..., History], call: Call, tmp_path: Path
) -> None:
    study(program="notebook")
    _, _, errors = half(call, tmp_path, "--data", "synthetic")
    assert "its last start had the space smoke, SHA-256 " in errors
    assert "generated images" in errors


def test_a_late_published_recipe_is_queued_or_refused(
    study: Callable[..., History], call: Call, tmp_path: Path
) -> None:
    study("notebooks", trials=1)
    words = (
        "run",
        "--space",
        "notebooks",
        "--study",
        "mine",
        "--data",
        "synthetic",
        "--runs",
        tmp_path,
        "--device",
        "cpu",
    )

    code, output, errors = call(*words, "--trials", "1", "--enqueue", SEED003)

    assert (code, output) == (4, "")
    assert errors == (
        f"cifar-search: study 'mine' has begun 1 of 1 trials, which leaves none for --enqueue {SEED003}; "
        "give --trials 2 or more\n"
    )
    trials = study("notebooks", trials=2, enqueue=(SEED003,)).trials
    assert [trial.baseline for trial in trials][1:] == [SEED003]  # before the space's own that wait
    again = study("notebooks", trials=3, enqueue=(SEED003, SEED003)).trials
    assert [trial.baseline for trial in again].count(SEED003) == 1


@pytest.mark.fault(
    "a study is renamed in the dashboard", then="exit 4 with the name that it must have; nothing is lost"
)
@pytest.mark.parametrize("name", ["My study (final)", "final"])
def test_a_study_that_was_renamed_is_not_begun_again_in_its_own_folder(
    study: Callable[..., History], call: Call, tmp_path: Path, name: str
) -> None:
    study()
    split = Setup.of(Search(space="smoke", study="mine", data="synthetic", folder=tmp_path)).draft()[1]
    keep(split, folder=StudyFolder(tmp_path, "mine"))
    (tmp_path / "mine" / "trials" / "00000").mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / "studies.db")) as database, database:
        database.execute("UPDATE studies SET study_name = ?", (name,))

    code, _, errors = half(call, tmp_path, "--space", "smoke", "--data", "synthetic")
    assert code == 4
    assert f"and study {name!r} without a folder: if it was renamed in the dashboard, give it the name mine" in errors
    assert (tmp_path / "mine" / "trials" / "00000").exists()
    assert call("status", "--runs", tmp_path)[0] == 0
    if name != "final":
        code, _, errors = call("best", "--retrain", "--data", "synthetic", "--runs", tmp_path)
        assert code == 4
        assert f"renamed in the dashboard, give it its name back there: {tmp_path} holds mine" in errors
