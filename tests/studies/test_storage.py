"""The database opens, or says why it does not."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import optuna
import pytest
from disks import fill, small_disk
from hypothesis import given
from hypothesis import strategies as st
from tiny import ask, check, finish, fork, run, starter

from studies import storage as storages
from studies.history import read_history
from studies.storage import (
    EmptyStorageError,
    StorageError,
    UnreachableError,
    masked,
    opened,
    sqlite_file,
    storage_url,
    warn_of_password,
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


def opens(url: str, *, read_only: bool = False) -> None:
    with opened(url, read_only=read_only):
        pass


@pytest.mark.parametrize("folder", ["a/b", "what?", "50%20off", "my runs", "ha#sh", "br{a}ce", "straße"])
def test_folder_and_file_are_made_and_opened_again(tmp_path: Path, folder: str) -> None:
    url = storage_url(tmp_path / folder, None)
    with opened(url) as storage:
        optuna.create_study(study_name="kept", storage=storage)
    with opened(url, read_only=True) as storage:
        assert [study.study_name for study in storage.get_all_studies()] == ["kept"]
    assert sqlite_file(url) == tmp_path / folder / "studies.db"
    assert (tmp_path / folder / "studies.db").stat().st_size > 0


def test_the_storage_is_asked_for_by_option_or_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert storage_url(tmp_path, None) == f"sqlite:///{tmp_path}/studies.db"
    monkeypatch.setenv("CIFAR_SEARCH_STORAGE", "postgresql://from.the/environment")
    assert storage_url(tmp_path, None) == "postgresql://from.the/environment"
    assert storage_url(tmp_path, "postgresql://from.the/option") == "postgresql://from.the/option"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("runs/studies.db", "write --storage sqlite:///runs/studies.db"),
        ("studies", "a storage is a URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("nosuch://someone:s3cret@host/name", "not known"),
        ("postgresql://someone:s3cret@host:port/name", "cannot open the storage"),
        ("mysql+mysqldb://someone:{s3cret}@host/name", "pip install mysqlclient"),
    ],
)
def test_unusable_url_is_one_sentence_without_its_password(url: str, sentence: str) -> None:
    with pytest.raises(StorageError) as caught:
        opens(url)
    assert sentence in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_file_that_is_no_database(tmp_path: Path, url: str) -> None:
    (tmp_path / "studies.db").write_text("notes on the studies, kept as text\n" * 100)
    with pytest.raises(StorageError, match="name another with --storage"):
        opens(url)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(StorageError, match=r"cannot open the storage .*runs"):
        opens(f"sqlite:///{tmp_path}/runs/studies.db")


def test_reading_makes_nothing(tmp_path: Path, url: str) -> None:
    with pytest.raises(EmptyStorageError, match="there is no database at"):
        opens(url, read_only=True)
    (tmp_path / "studies.db").touch()
    with pytest.raises(EmptyStorageError, match="holds no study yet; `cifar-search run` starts one"):
        read_history("tiny", storage=url)
    assert (tmp_path / "studies.db").stat().st_size == 0


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


def refused(call: Callable[[], object], *texts: str) -> None:
    """A sentence with the cause and the next step, and not an outage that would be waited for."""
    with pytest.raises(StorageError) as caught:
        call()
    assert not isinstance(caught.value, UnreachableError)
    assert all(text in str(caught.value) for text in texts), caught.value


def test_a_full_disk_is_named_and_costs_nothing(tmp_path: Path) -> None:
    url = storage_url(tmp_path / "disk", None)
    with small_disk(tmp_path / "disk", "300k"):
        with starter(url)(trials=3) as study:
            first, second = ask(study), ask(study)
            finish(study, first)
            fill(tmp_path / "disk" / "filler")
            long = partial(
                study.report, second.number, epoch=1, accuracy=0.5, **{f"n{index}": 0.1 for index in range(900)}
            )
            refused(long, "free some space on the disk")
            (tmp_path / "disk" / "filler").unlink()
            long()
            finish(study, second)
            run(study)
        assert check(url).finished == 3


def test_a_file_that_is_gone_is_missed_and_not_made_anew(tmp_path: Path, url: str) -> None:
    with starter(url)(trials=2) as study:
        number = ask(study).number
        shutil.move(tmp_path / "studies.db", tmp_path / "kept.db")
        refused(partial(study.report, number, epoch=1, accuracy=0.5), "moved")
        assert not (tmp_path / "studies.db").exists()
        shutil.move(tmp_path / "kept.db", tmp_path / "studies.db")
        study.report(number, epoch=1, accuracy=0.5)


@pytest.mark.fault("a process that keeps the SQLite file locked", then="waited for as an outage, with the cause")
def test_a_file_that_another_process_locks(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(storages._SQLITE_SETTINGS["connect_args"], "timeout", 0.1)
    with starter(url)() as study, closing(sqlite3.connect(tmp_path / "studies.db")) as other:
        number = ask(study).number
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UnreachableError, match="end the process that keeps it locked"):
            study.report(number, epoch=1, accuracy=0.5)
        other.rollback()
        study.report(number, epoch=1, accuracy=0.5)


def first_start(folder: Path, me: int) -> None:
    with starter(f"sqlite:///{folder}/studies.db")(f"study-{me}", trials=2) as study:
        run(study)


def test_four_first_starts_at_once(tmp_path: Path) -> None:
    children = [fork(partial(first_start, tmp_path, me)) for me in range(4)]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    for me in range(4):
        assert check(f"sqlite:///{tmp_path}/studies.db", name=f"study-{me}").finished == 2
