"""A folder of any name reaches SQLite unharmed, a URL keeps its meaning, and a read-only copy is read in any state."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import optuna
import pytest
from disks import read_only
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import database, forked

from studies.storage import StorageError, opened, sqlite_file, storage_url

NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: name.strip(b".") and not {0, 47} & {*name})


def names(url: str) -> list[str]:
    with opened(url, read_only=True) as storage:
        return [study.study_name for study in storage.get_all_studies()]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with a database that holds a study."""
    url = database(tmp_path)
    with opened(url) as storage:
        optuna.create_study(study_name="kept", storage=storage)
    return tmp_path


@given(name=NAMES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_of_a_folder_reaches_sqlite(kept: Path, name: bytes) -> None:
    folder = kept / "folders" / os.fsdecode(name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "studies.db").unlink(missing_ok=True)
    os.link(kept / "studies.db", folder / "studies.db")
    url = storage_url(folder, None)
    assert url.isascii()
    assert sqlite_file(url) == folder / "studies.db"
    assert names(url) == ["kept"]


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///what?x=1", "what"),
        ("sqlite:///50%20off/studies.db", "50 off/studies.db"),
        ("sqlite:////abs/a#b.db", "/abs/a#b.db"),
        ("sqlite:///caf\udce9.db", "caf\udce9.db"),
        ("sqlite:///file%3A/studies.db", "file:/studies.db"),
    ],
)
def test_a_url_keeps_its_meaning(url: str, file: str) -> None:
    assert sqlite_file(url) == Path(file)


@pytest.mark.parametrize("url", ["sqlite://runs/studies.db", "sqlite+pysqlite://runs/studies.db"])
def test_two_slashes_are_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(StorageError, match=r"has two slashes, and a file needs three: .* sqlite:///runs/studies\.db"):
        sqlite_file(url)


def cut_off(folder: Path) -> None:
    """Ends a process in the middle of a transaction that has reached the file."""

    def die() -> None:
        connection = sqlite3.connect(folder / "studies.db", isolation_level=None)
        for statement in ("PRAGMA cache_size = 1", "BEGIN", "CREATE TABLE filler (text TEXT)"):
            connection.execute(statement)
        for _ in range(200):
            connection.execute("INSERT INTO filler VALUES (?)", ("x" * 1000,))
        connection.execute("DELETE FROM studies")
        os._exit(0)

    assert forked(die) == 0
    assert (folder / "studies.db-journal").stat().st_size > 0


def with_a_log(folder: Path) -> None:
    connection = sqlite3.connect(folder / "studies.db")
    assert connection.execute("PRAGMA journal_mode = wal").fetchone() == ("wal",)
    connection.close()


def test_what_a_killed_process_left_half_written_is_taken_back_by_the_next_reader(kept: Path) -> None:
    cut_off(kept)
    assert names(f"sqlite:///{kept}/studies.db") == ["kept"]


@pytest.mark.parametrize("state", [cut_off, with_a_log, lambda _: None], ids=["cut off", "write-ahead log", "sound"])
def test_a_read_only_copy_is_read(kept: Path, state: object) -> None:
    state(kept)  # type: ignore[operator]
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    with read_only(kept):
        assert names(f"sqlite:///{kept}/studies.db") == ["kept"]
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
