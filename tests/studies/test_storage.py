"""The database opens, or says why it does not; processes that share it do not step on each other."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from tiny import ask, check, finish, forked, run, starter, suggest

from studies import engine
from studies.history import read_history
from studies.storage import (
    StorageError,
    UnreachableError,
    masked,
    open_storage,
    opened,
    shareable,
    storage_url,
    told,
    transaction,
    warn_of_password,
)  # fmt: skip


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


def test_folder_and_file_are_made_and_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a/b/studies.db"
    with opened(url) as storage:
        optuna.create_study(study_name="kept", storage=storage)
    with opened(url) as storage:
        assert [study.study_name for study in storage.get_all_studies()] == ["kept"]


def test_the_storage_is_asked_for_by_option_or_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert storage_url(tmp_path, None) == f"sqlite:///{tmp_path}/studies.db"
    monkeypatch.setenv("CIFAR_SEARCH_STORAGE", "postgresql://from.the/environment")
    assert storage_url(tmp_path, None) == "postgresql://from.the/environment"
    assert storage_url(tmp_path, "postgresql://from.the/option") == "postgresql://from.the/option"


def test_what_may_be_shared() -> None:
    assert shareable("postgresql://host/name")
    assert shareable("postgresql+psycopg2://host/name")
    assert not shareable("sqlite:///postgresql.db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("runs/studies.db", "write --storage sqlite:///runs/studies.db"),
        ("studies", "a storage is a URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("nosuch://someone:s3cret@host/name", "not known"),
        ("postgresql://someone:s3cret@host:port/name", "no storage URL"),
        ("mysql+mysqldb://someone:{s3cret}@host/name", "pip install mysqlclient"),
    ],
)
def test_unusable_url_is_one_sentence_without_its_password(url: str, said: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_storage(url)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_file_that_is_no_database(tmp_path: Path, url: str) -> None:
    (tmp_path / "studies.db").write_text("notes on the studies, kept as text\n" * 100)
    with pytest.raises(StorageError, match="file is not a database; name another with --storage"):
        open_storage(url)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(StorageError, match=r"cannot open the storage .*runs"):
        open_storage(f"sqlite:///{tmp_path}/runs/studies.db")


def test_reading_makes_nothing(tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageError, match="there is no database at"):
        open_storage(url, read_only=True)
    (tmp_path / "studies.db").touch()
    with pytest.raises(StorageError, match="no such table"):
        read_history("tiny", storage=url)
    assert (tmp_path / "studies.db").stat().st_size == 0


@pytest.mark.fault("SQLite set to write-ahead logging", then="set back: older SQLite may corrupt such a file")
def test_write_ahead_logging_is_taken_back(tmp_path: Path, url: str) -> None:
    starter(url)().__exit__()
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with starter(url)(trials=1) as study:
        run(study)
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    check(url)


@given(password=st.text(min_size=1).filter(lambda text: "://" not in text))
def test_password_is_never_shown(password: str) -> None:
    assert masked(f"postgresql://someone:{password}@host/name") == "postgresql://someone:***@host/name"


def test_masking_leaves_the_rest() -> None:
    assert masked("sqlite:///runs/a:b@c.db") == "sqlite:///runs/a:b@c.db"
    assert masked("postgresql://host/name?password=b&port=1") == "postgresql://host/name?password=***&port=1"


def test_a_password_on_the_command_line_is_warned_of() -> None:
    assert warn_of_password("postgresql://someone@host/name") is None
    warning = warn_of_password("postgresql://someone:s3cret@host/name")
    assert warning is not None
    assert "CIFAR_SEARCH_STORAGE" in warning
    assert "s3cret" not in warning


def refused(call: Callable[[], object], *said: str) -> None:
    """A sentence with the cause and the next step, and not an outage that would be waited for."""
    with pytest.raises(StorageError) as caught:
        call()
    assert not isinstance(caught.value, UnreachableError)
    assert all(text in str(caught.value) for text in said), caught.value


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_named_and_costs_nothing(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/studies.db"
    with starter(url)(trials=3) as study:
        first, second = ask(study), ask(study)
        finish(study, first)
        subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/filler", "bs=512"], capture_output=True)
        long = partial(study.report, second.number, epoch=1, accuracy=0.5, **{f"n{index}": 0.1 for index in range(900)})
        refused(long, "disk is full", "free some space on the disk")
        (small_disk / "filler").unlink()
        long()
        finish(study, second)
        run(study)
    assert check(url).finished == 3


def test_a_file_that_is_gone_is_missed_and_not_made_anew(tmp_path: Path, url: str) -> None:
    with starter(url)(trials=2) as study:
        number = ask(study).number
        shutil.move(tmp_path / "studies.db", tmp_path / "kept.db")
        refused(partial(study.report, number, epoch=1, accuracy=0.5), "unable to open", "moved")
        assert not (tmp_path / "studies.db").exists()
        shutil.move(tmp_path / "kept.db", tmp_path / "studies.db")
        study.report(number, epoch=1, accuracy=0.5)


@pytest.mark.fault("a process that keeps the SQLite file locked", then="exit 5 after a minute, with the cause")
def test_a_file_that_is_locked_for_too_long(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WAIT", 0.1)
    with starter(url)() as study, closing(sqlite3.connect(tmp_path / "studies.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused(partial(study.ask, suggest), "database is locked", "end the process")
        other.rollback()
        assert ask(study).number == 0


def test_an_error_of_the_database_behind_others_is_found(url: str) -> None:
    """Optuna wraps what it knows, tries again what it should not, and trips over the rest."""
    with opened(url) as storage:
        for mask in (RuntimeError, AssertionError, UnboundLocalError, KeyError):
            with pytest.raises(StorageError, match="no such table"), transaction(storage) as connection:  # noqa: PT012
                try:
                    connection.execute(sqlalchemy.text("SELECT * FROM missing"))
                except sqlalchemy.exc.OperationalError:
                    raise mask from None
    with pytest.raises(ZeroDivisionError), told(url):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), opened(url) as storage, transaction(storage):
        raise ZeroDivisionError


def test_a_transaction_is_kept_whole_or_not_at_all(url: str) -> None:
    with opened(url) as storage:
        study = optuna.create_study(study_name="tiny", storage=storage)
        with pytest.raises(ZeroDivisionError), transaction(storage):  # noqa: PT012
            study.ask().suggest_float("rate", 0, 1)
            study.set_user_attr("kept", value=True)
            raise ZeroDivisionError
        assert (storage.get_all_trials(study._study_id), study.user_attrs) == ([], {})
        with transaction(storage):
            trial = study.ask()
            trial.suggest_float("rate", 0, 1)
            study.tell(trial, 0.5)
        assert len(storage.get_all_trials(study._study_id)) == 1


def test_a_transaction_that_was_undone_unnoticed_is_noticed(url: str) -> None:
    """Optuna passes over a row that is there already, and undoes the transaction in passing."""
    with opened(url) as storage:
        study = optuna.create_study(study_name="tiny", storage=storage)
        with pytest.raises(sqlalchemy.exc.InvalidRequestError), transaction(storage):  # noqa: PT012
            trial = study.ask()
            for _ in range(2):
                storage.set_trial_param(trial._trial_id, "rate", 0.5, optuna.distributions.FloatDistribution(0, 1))
        assert storage.get_all_trials(study._study_id) == []


def test_the_quick_way_reads_what_optuna_reads(url: str) -> None:
    with starter(url)(trials=12, sampler="tpe", pruner="median") as study:
        study.enqueue([("known", {"rate": 0.5, "width": 3})])
        study.fail(ask(study).number, outcome="diverged", message='a "quote" and a line\n')
        study.report(ask(study).number, epoch=1, accuracy=float("nan"), loss=float("inf"))
        study.put_back(ask(study).number)
        run(study)
    with opened(url) as quick:
        optuna.create_study(study_name="two aims", storage=quick, directions=["minimize", "maximize"]).add_trial(
            optuna.trial.create_trial(
                params={"kind": "b", "many": 3},
                distributions={
                    "kind": optuna.distributions.CategoricalDistribution(["a", "b"]),
                    "many": optuna.distributions.IntDistribution(1, 9, log=True),
                },
                values=[float("inf"), -1.0],
            )
        )
        plain = optuna.storages.RDBStorage(url)
        for name in ("tiny", "two aims"):
            id = quick.get_study_id_from_name(name)
            trials, expected = quick.get_all_trials(id), plain.get_all_trials(id)
            assert repr(trials) == repr(expected)  # by their text, since NaN equals nothing
            assert trials[1:] != [] or name != "tiny"
            some = {expected[0]._trial_id}
            assert [trial.number for trial in quick._get_trials(id, None, some, expected[-1]._trial_id - 1)] == sorted(
                {expected[0].number, expected[-1].number}
            )
            assert repr(quick.get_trial(expected[0]._trial_id)) == repr(expected[0])
        with pytest.raises(KeyError):
            quick.get_trial(999)
        plain.engine.dispose()


def take(folder: Path, me: int) -> None:
    """A first start, then as many trials of the queue as this process can get."""
    with opened(f"sqlite:///{folder}/studies.db") as storage:
        study = optuna.create_study(study_name="queue", storage=storage, load_if_exists=True)
        for index in range(10):
            study.enqueue_trial({"x": index})
        (folder / f"ready-{me}").touch()
        deadline = time.monotonic() + 30
        while len(list(folder.glob("ready-*"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        numbers = []
        while (trial := study.ask()).number < 40:
            numbers.append(trial.number)
    (folder / f"taken-{me}").write_text(" ".join(map(str, numbers)))


def test_four_first_starts_at_once_then_every_waiting_trial_is_taken_once(tmp_path: Path) -> None:
    children = []
    for me in range(4):
        pid = os.fork()
        if not pid:
            os._exit(forked(partial(take, tmp_path, me)))
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    taken = [int(number) for file in tmp_path.glob("taken-*") for number in file.read_text().split()]
    assert sorted(taken) == list(range(40))
