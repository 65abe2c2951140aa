"""Opens the database that keeps the studies, or says why it cannot."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from studies import StudyError

WAIT = 60.0  # seconds that SQLite waits for another process to end its transaction

_PACKAGES = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # where the import name is not the package's


class StorageError(StudyError):
    """A storage that cannot be opened: its URL without the password, the cause, the next step."""


def storage_url(folder: Path, storage: str | None) -> str:
    """The storage that was asked for, or the default one in the folder of runs."""
    return storage or f"sqlite:///{folder / 'studies.db'}"


def open_storage(url: str, *, read_only: bool = False) -> RDBStorage:
    """The storage at an Optuna RDB URL; SQLite's file and folder are made unless `read_only`. Raises StorageError."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parsed = _parsed(url)
    # Optuna runs str.format over the URL: a brace in a password must be doubled to survive it.
    template = url.replace("{", "{{").replace("}", "}}")
    try:
        if parsed.get_backend_name() != "sqlite":
            return RDBStorage(template, {"pool_pre_ping": True}, skip_table_creation=read_only)
        with _folder_lock(_sqlite_file(parsed, url=url, read_only=read_only).parent, needed=not read_only):
            engine = {
                "connect_args": {"timeout": WAIT, "isolation_level": None},  # None: BEGIN is ours, below
                "poolclass": sqlalchemy.NullPool,  # a file is opened in no time, and is closed even when this fails
            }
            storage = RDBStorage(template, engine, skip_table_creation=read_only)
    except ImportError as error:
        raise StorageError(f"{masked(url)} needs a database driver: {_install(error)}") from None
    except sqlalchemy.exc.ArgumentError:
        raise StorageError(f"{masked(url)} names a database that is not known; {_FORMS}") from None
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError, RuntimeError) as error:
        raise StorageError(f"cannot open the storage {masked(url)}: {_cause(error, url=url)}") from None
    # A waiting trial is read, then marked as running: only a transaction that takes the write lock
    # at its first statement keeps two processes from taking the same one. A reader needs no such lock.
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    sqlalchemy.event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return storage


@contextmanager
def opened(url: str, *, read_only: bool = False) -> Iterator[RDBStorage]:
    """As open_storage, and closed at the end."""
    storage = open_storage(url, read_only=read_only)
    try:
        yield storage
    finally:
        close(storage)


def close(storage: RDBStorage) -> None:
    """Closes every connection to the database."""
    storage.remove_session()
    storage.engine.dispose()


def masked(url: str) -> str:
    """The URL as it may be shown: every password is `***`."""
    shown = re.sub(r"(?s)(://[^:/?#]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)((?:pass\w*|pwd|secret|token)=)[^&#]*", r"\1***", shown)


_FORMS = "give --storage sqlite:///runs/studies.db or postgresql://USER@HOST/DATABASE"


def _parsed(url: str) -> sqlalchemy.URL:
    if "://" not in url:
        hint = f"write --storage sqlite:///{url}" if Path(url).suffix in {".db", ".sqlite", ".sqlite3"} else _FORMS
        raise StorageError(f"a storage is a URL, not {masked(url)!r}; {hint}")
    try:
        return sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise StorageError(f"{masked(url)!r} is no storage URL; {_FORMS}") from None


def _sqlite_file(parsed: sqlalchemy.URL, *, url: str, read_only: bool) -> Path:
    name = parsed.database or ""
    if not name or name == ":memory:" or name.startswith("file:"):
        raise StorageError(f"{url} names no file, so the study would be lost at the end; {_FORMS}")
    path = Path(name)
    if read_only and not path.is_file():
        raise StorageError(f"there is no database at {path}; `cifar-search run` makes it, --storage names another")
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _folder_lock(folder: Path, *, needed: bool) -> Iterator[None]:
    # Optuna looks for its tables and makes them in separate transactions: two first starts at once would collide.
    if not needed:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _install(error: ImportError) -> str:
    missing = error if error.name else error.__cause__  # Optuna wraps the error that names the module
    module = getattr(missing, "name", None) or "the one for this database"
    return f"{module} is not installed; pip install {_PACKAGES.get(module, module)}"


def _cause(error: BaseException, *, url: str) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip() or type(error).__name__
    password = sqlalchemy.make_url(url).password
    return text.replace(str(password), "***") if password else text
