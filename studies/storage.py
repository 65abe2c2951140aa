"""Opens the database that keeps the studies, or says why it cannot."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

import optuna
from optuna.storages import RDBStorage

from search.files import home, in_the_way
from studies import StudyError, database_errors
from studies.lock import LockedError, ServerLock, end_at_outage, file_lock, is_locked, lock_path, network_file_system
from studies.server import server_settings

VARIABLE = "CIFAR_SEARCH_STORAGE"  # environment: a storage URL that no process list shows

WAIT = 60.0  # seconds that SQLite waits for another process to end its transaction
FIRST_STARTS = 5  # tries, for two programs may make the tables at the same moment

Storage = RDBStorage
"""What `opened` and `owned` give."""

_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # by import name
_FORMS = "give --storage sqlite:///runs/studies.db or postgresql://USER@HOST/DATABASE"


class StorageError(StudyError):
    """A storage that cannot be used: its URL without the password, the cause, the next step."""

    exit_code = 5


class UnreachableError(StorageError):
    """The database does not answer now: the same call may be made again until it does."""


class EmptyStorageError(StorageError):
    """The database is not there yet, or holds no study of any kind."""


def storage_url(folder: Path, storage: str | None) -> str:
    """The storage that was asked for, by argument or environment, or else the default one in the folder of runs."""
    return storage or os.environ.get(VARIABLE) or f"sqlite:///{quote(os.fsencode(folder / 'studies.db'))}"


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
def opened(url: str, *, read_only: bool = False) -> Iterator[RDBStorage]:
    """The storage at a URL, until the block ends. SQLite's file and folder are made unless `read_only`.

    Errors of the database that the block raises become StorageError, outages UnreachableError.
    """
    with translated(url):
        yield from _open(url, read_only=read_only, server_lock=None)


@contextmanager
def owned(url: str, *, study: str) -> Iterator[RDBStorage]:
    """The storage at a URL while this process owns a study there. Raises LockedError, StorageError."""
    file = sqlite_file(url)
    with translated(url):
        if file is not None:
            _check_local(file, url)
            if (lock := lock_path(file, study)).is_symlink():
                raise StorageError(f"the study's lock {lock} is a symbolic link; remove it, or name another --runs")
            with file_lock(lock, owned=f"study {study!r}"):
                yield from _open(url, read_only=False, server_lock=None)
        else:
            with opened(url):
                pass  # makes the tables: the connection that holds the lock is the only one of its engine
            yield from _open(url, read_only=False, server_lock=ServerLock(backend_of(url), study))


def is_owned(url: str, *, study: str) -> bool:
    """Whether a process works on the study at this moment. Raises StorageError."""
    if (file := sqlite_file(url)) is not None:
        return is_locked(lock_path(file, study))
    try:
        with owned(url, study=study):
            return False
    except LockedError:
        return True


def backend_of(url: str) -> str:
    """`sqlite`, `postgresql`, ... Raises StorageError where the text is no URL of a storage."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        hint = f"write --storage sqlite:///{url}" if Path(url).suffix in {".db", ".sqlite", ".sqlite3"} else _FORMS
        raise StorageError(f"a storage is a URL, not {masked(url)!r}; {hint}")
    return scheme.partition("+")[0]


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for another database. Raises StorageError where the URL names no file."""
    if backend_of(url) != "sqlite":
        return None
    path = url.partition("://")[2].partition("?")[0]
    if path and not path.startswith("/"):
        raise StorageError(f"{masked(url)} has two slashes, and a file needs three: --storage sqlite:///{path}")
    name = path.removeprefix("/")  # a name that begins so, or holds a question mark, is written with % here
    if not name or name == ":memory:" or name.startswith("file:") or "%00" in name:
        raise StorageError(f"{masked(url)} names no file, so the study would be lost at the end; {_FORMS}")
    return home(os.fsdecode(unquote_to_bytes(os.fsencode(name))))


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turns every error of a database into a StorageError; the one place where this happens. Other errors pass."""
    try:
        yield
    except StudyError:
        raise
    except ImportError as error:
        module = getattr(error if error.name else error.__cause__, "name", None) or "the driver of this database"
        package = _PACKAGES.get(module, module)
        text = f"{masked(url)} needs a database driver: {module} is not installed; pip install {package}"
        raise StorageError(text) from None
    except Exception as error:
        if error_of_database := _storage_error(error, url):
            raise error_of_database from None
        if type(error).__name__ in ("ArgumentError", "NoSuchModuleError"):  # SQLAlchemy's, for a URL
            raise StorageError(f"{masked(url)} names a database that is not known; {_FORMS}") from None
        raise


def _storage_error(error: Exception, url: str, *, only_outage: bool = False) -> StorageError | None:
    found = database_errors.database_error(error)
    if found is None or (only_outage and not database_errors.is_outage(found)):
        return None
    text = f"{masked(url)}: {_without_password(database_errors.cause(found), url)}"
    if database_errors.has_no_tables(found):
        return EmptyStorageError(f"{masked(url)} holds no study yet; `cifar-search run` starts one")
    if database_errors.is_outage(found):
        return UnreachableError(f"the storage does not answer: {text}")
    return StorageError(f"cannot use the storage {text}")


def _open(url: str, *, read_only: bool, server_lock: ServerLock | None) -> Iterator[RDBStorage]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file, settings = sqlite_file(url), _SQLITE_SETTINGS
    with ExitStack() as stack:
        try:
            if file is None:
                # Optuna runs str.format over the URL: a brace in a password must be doubled to survive it.
                address = url.replace("{", "{{").replace("}", "}}")
                settings = server_settings(backend_of(url), server_lock)
            else:
                if not read_only:
                    _check_local(file, url)
                    file.touch()
                elif not file.is_file():
                    advice = "`cifar-search run` makes it, --runs or --storage names another"
                    obstacle = in_the_way(file)
                    advice = f"{obstacle}: name another with --runs" if obstacle else advice
                    raise EmptyStorageError(f"there is no database at {file}; {advice}")
                # Who may write reads so too: SQLite must first take back what a killed process left half written.
                writable = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
                copy = None if writable or not read_only else stack.enter_context(_readable_copy(file))
                mode = "rw" if writable or copy or not read_only else "ro"
                # A file that is gone is missed, not made anew. SQLAlchemy and SQLite decode the name once each.
                address = f"sqlite:///file:{quote(quote(os.fsencode(copy or file)))}?mode={mode}&uri=true"
            storage = _connect(address, settings, tables=not (read_only or server_lock))
        except (OSError, RuntimeError, ValueError) as error:  # another version's tables; a port that is none
            raise StorageError(f"cannot open the storage {masked(url)}: {error}") from None
        end_at_outage(storage.engine, lambda error: _storage_error(error, url, only_outage=True))
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()


@contextmanager
def _readable_copy(file: Path) -> Iterator[Path | None]:
    """A copy of a file beside which SQLite must write before it can read it, and may not; of another one None.

    A transaction was cut off, or the file was set to a write-ahead log: bytes 18 and 19 of it say so.
    """
    journals = [file.with_name(f"{file.name}-{kind}") for kind in ("journal", "wal")]
    with file.open("rb") as content:
        needed = content.read(20)[18:] == b"\2\2" or journals[0].exists()
    if not needed:
        yield None
        return
    with TemporaryDirectory(prefix="cifar-search-") as place:
        for part in filter(Path.exists, (*journals, file)):  # the file last: a journal knows what it replaces
            shutil.copyfile(part, Path(place, part.name))
        yield Path(place, file.name)


def _connect(url: str, settings: dict[str, Any], *, tables: bool) -> RDBStorage:
    """Optuna's storage. Where another program makes the tables at the same moment, the next try finds them."""
    for attempt in range(1, FIRST_STARTS + 1):
        try:
            return _constructed(url, settings, tables=tables)
        except Exception as error:
            if not tables or attempt == FIRST_STARTS or not re.search("already exists|duplicate|UNIQUE", str(error)):
                raise
            time.sleep(0.2 * attempt)
    raise AssertionError("the last attempt returns or raises")


def _constructed(url: str, settings: dict[str, Any], *, tables: bool) -> RDBStorage:
    """Where Optuna's constructor fails, nobody else can close the connections that it made."""
    connections: list[Any] = []
    constructing = True

    def connected(connection: Any, _record: object) -> None:
        if constructing:
            connections.append(connection)

    events = [*settings.get("pool_events", ()), (connected, "connect")]
    try:
        # The check of the tables' version needs two connections, and whoever makes the tables has done it.
        return RDBStorage(
            url,
            {**settings, "pool_events": events},
            skip_compatibility_check=not tables,
            skip_table_creation=not tables,
        )
    except BaseException:
        for connection in connections:
            with suppress(Exception):
                connection.close()
        raise
    finally:
        constructing = False
        connections.clear()


# No connection to a file is kept: one that is would go on writing to a file that was moved away.
_SQLITE_SETTINGS = {"pool_recycle": 0, "connect_args": {"timeout": WAIT}}


def _check_local(file: Path, url: str) -> None:
    """Makes the folder of a SQLite file. Raises StorageError where it cannot be, or where its locks do not work."""
    kind = network_file_system(file.parent)
    if kind is not None:
        raise StorageError(
            f"SQLite is not safe on a network file system, and {file.parent} is one ({kind}); "
            "put --runs on a local disk, or keep the study in --storage postgresql://USER@HOST/DATABASE"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = in_the_way(file) or error
        text = f"cannot open the storage {masked(url)}: {cause}; name another folder with --runs, or --storage"
        raise StorageError(text) from None


def _without_password(text: str, url: str) -> str:
    password = re.search(r"(?s)://[^:/?#]*:(.*)@", url)
    for spelling in {password[1], unquote(password[1]), quote(unquote(password[1]), safe="")} if password else ():
        text = text.replace(spelling, "***")
    return text
