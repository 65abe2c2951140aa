"""Opens the database that keeps the studies, or says why it cannot."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy

from studies import StudyError, engine
from studies import database_errors as outage
from studies.filesystem import network_filesystem

if TYPE_CHECKING:  # who only reads can do without Optuna, which takes a while to import
    from studies.quick import QuickStorage

VARIABLE = "CIFAR_SEARCH_STORAGE"  # environment: a storage URL that no process list shows

_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # by import name
_FORMS = "give --storage sqlite:///runs/studies.db or postgresql://USER@HOST/DATABASE"


class StorageError(StudyError):
    """A storage that cannot be used: its URL without the password, the cause, the next step."""

    exit_code = 5


class UnreachableError(StorageError):
    """The server does not answer for now: the same call may be made again until it does."""


def storage_url(folder: Path, storage: str | None) -> str:
    """The storage that was asked for, here or by the environment, or else the default one in the folder of runs."""
    return storage or os.environ.get(VARIABLE) or f"sqlite:///{folder / 'studies.db'}"


def shareable(url: str) -> bool:
    """Whether supervisors of several machines may work on one study there; elsewhere a lock file keeps them apart."""
    return url.startswith("postgresql")


def masked(url: str) -> str:
    """The URL as it may be shown: every password is `***`."""
    shown = re.sub(r"(?s)(://[^:/?#]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)((?:pass\w*|pwd|secret|token)=)[^&#]*", r"\1***", shown)


def warn_of_password(url: str) -> str | None:
    """What to tell a person whose command line holds a password; None where it holds none."""
    if masked(url) == url:
        return None
    return f"the process list shows the storage's password: keep it in {VARIABLE} or in ~/.pgpass instead"


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turns an error of the database into a StorageError, an outage of its server into an UnreachableError.

    The one place where this happens; any other error passes.
    """
    try:
        yield
    except StudyError:
        raise
    except Exception as error:
        found = _of_database(error)
        if found is None:
            raise
        text = f"{masked(url)}: {_without_password(outage.cause(found), url)}"
        if outage.is_outage(found):
            raise UnreachableError(f"the storage does not answer: {text}") from None
        raise StorageError(f"cannot use the storage {text}") from None


def open_storage(url: str, *, read_only: bool = False) -> QuickStorage:
    """The storage at an Optuna RDB URL; SQLite's file and folder are made unless `read_only`. Raises StorageError."""
    import optuna

    from studies.quick import QuickStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parsed = _parsed(url)
    # Optuna runs str.format over the URL: a brace in a password must be doubled to survive it.
    template = url.replace("{", "{{").replace("}", "}}")
    line = engine.Line()
    with told(url), _opening(url), _first_start(parsed, read_only=read_only):
        settings = _settings(parsed, read_only=read_only, line=line)
        storage = QuickStorage(template, settings, line=line, skip_table_creation=read_only)
        if parsed.get_backend_name() == "sqlite":
            engine.settle_sqlite(storage.engine, read_only=read_only)
    return storage


@contextmanager
def opened(url: str, *, read_only: bool = False) -> Iterator[QuickStorage]:
    """As open_storage, and closed at the end; what the database raises meanwhile is told."""
    with told(url):
        storage = open_storage(url, read_only=read_only)
        try:
            yield storage
        finally:
            close(storage)


@contextmanager
def reading(url: str) -> Iterator[sqlalchemy.Connection]:
    """A transaction that only reads, without Optuna. Raises StorageError."""
    parsed, line = _parsed(url), engine.Line()
    with _opening(url):
        source = sqlalchemy.create_engine(parsed, **_settings(parsed, read_only=True, line=line))
    if parsed.get_backend_name() == "sqlite":
        engine.settle_sqlite(source, read_only=True)
    try:
        with told(url), source.connect() as connection, line.bounded(), connection.begin():
            yield connection
    finally:
        source.dispose()


@contextmanager
def transaction(storage: QuickStorage, *, read_only: bool = False) -> Iterator[sqlalchemy.Connection]:
    """One transaction for all that Optuna and its caller do in the block: all of it is kept, or nothing.

    Optuna commits after every single value; here its sessions join the block's transaction. Raises StorageError.
    """
    source = storage.engine.execution_options(**{engine.READ_ONLY: read_only})
    url = str(storage.url)
    with told(url), storage.line.bounded(), source.connect() as connection, connection.begin() as begun:
        with _first_failure(storage.engine):
            storage.remove_session()
            storage.scoped_session.configure(bind=connection)
            try:
                yield connection
            finally:
                storage.remove_session()
                storage.scoped_session.configure(bind=storage.engine)
        begun.commit()  # here, since it raises where Optuna swallowed an error that undid the transaction


def close(storage: QuickStorage) -> None:
    """Closes every connection to the database."""
    storage.remove_session()
    storage.engine.dispose()


def _parsed(url: str) -> sqlalchemy.URL:
    if "://" not in url:
        hint = f"write --storage sqlite:///{url}" if Path(url).suffix in {".db", ".sqlite", ".sqlite3"} else _FORMS
        raise StorageError(f"a storage is a URL, not {masked(url)!r}; {hint}")
    try:
        return sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise StorageError(f"{masked(url)!r} is no storage URL; {_FORMS}") from None


def _settings(parsed: sqlalchemy.URL, *, read_only: bool, line: engine.Line) -> dict[str, Any]:
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return engine.sqlite(_sqlite_file(parsed, read_only=read_only))
    return engine.postgresql(parsed, line=line) if kind == "postgresql" else {"pool_pre_ping": True}


def _sqlite_file(parsed: sqlalchemy.URL, *, read_only: bool) -> Path:
    name = parsed.database or ""
    if not name or name == ":memory:" or name.startswith("file:"):
        raise StorageError(f"{masked(str(parsed))} names no file, so the study would be lost at the end; {_FORMS}")
    path = Path(name)
    if read_only and not path.is_file():
        raise StorageError(f"there is no database at {path}; `cifar-search run` makes it, --storage names another")
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = network_filesystem(path.parent)
        if kind is not None:
            raise StorageError(
                f"SQLite is not safe on a network file system, and {path.parent} is one ({kind}); "
                "put --runs on a local disk, or share the study with --storage postgresql://USER@HOST/DATABASE"
            )
        path.touch()
    return path


@contextmanager
def _first_start(parsed: sqlalchemy.URL, *, read_only: bool) -> Iterator[None]:
    # Optuna looks for its tables and makes them in separate transactions: two first starts at once would collide.
    if read_only or parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        yield
    elif parsed.get_backend_name() == "sqlite":
        descriptor = os.open(_sqlite_file(parsed, read_only=False).parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
    else:
        server = sqlalchemy.create_engine(parsed, **engine.postgresql(parsed, line=engine.Line()))
        try:
            with server.begin() as connection:
                connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(engine.KEY)))
                yield
        finally:
            server.dispose()


@contextmanager
def _opening(url: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise StorageError(f"{masked(url)} needs a database driver: {_install(error)}") from None
    except sqlalchemy.exc.ArgumentError:
        raise StorageError(f"{masked(url)} names a database that is not known; {_FORMS}") from None
    except (OSError, RuntimeError) as error:  # Runtime: Optuna finds tables of another version
        raise StorageError(f"cannot open the storage {masked(url)}: {error}") from None


@contextmanager
def _first_failure(source: sqlalchemy.Engine) -> Iterator[None]:
    """Raises the database's first error in place of what Optuna made of it: wrapped, tried again, or tripped over."""
    failures: list[BaseException] = []

    def note(context: sqlalchemy.ExceptionContext) -> None:
        failures.append(context.sqlalchemy_exception or context.original_exception)

    sqlalchemy.event.listen(source, "handle_error", note)
    try:
        yield
    except StudyError:
        raise
    except Exception:
        if failures:
            raise failures[0] from None
        raise
    finally:
        sqlalchemy.event.remove(source, "handle_error", note)


def _of_database(error: BaseException) -> sqlalchemy.exc.DBAPIError | None:
    found: BaseException | None = error
    while found is not None and not isinstance(found, sqlalchemy.exc.DBAPIError):
        found = found.__cause__
    return found


def _install(error: ImportError) -> str:
    missing = error if error.name else error.__cause__  # Optuna wraps the error that names the module
    module = getattr(missing, "name", None) or "the one for this database"
    return f"{module} is not installed; pip install {_PACKAGES.get(module, module)}"


def _without_password(text: str, url: str) -> str:
    password = sqlalchemy.make_url(url).password
    for spelling in {str(password), quote(str(password), safe="")} if password else ():
        text = text.replace(spelling, "***")
    return text
