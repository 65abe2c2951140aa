"""What an error of a database means: whether it passes by itself, and what to do if it does not."""

import re
from typing import Any

from search.limits import shell_limit

_PASSES = re.compile(
    "08"  # no connection, or a lost one
    "|53"  # the server has too little memory, disk or connections
    "|57"  # the server starts, stops, or ended the statement
    "|40"  # the server chose this transaction to fail, so that another could go on
    "|55P03|25P03"  # a lock was not free in time; the transaction paused for too long
    "|25006"  # the server has become a standby: another one takes over
)  # the beginning of an SQLSTATE

_STAYS = re.compile(r"authentication|password|does not exist|pg_hba|permission|denied|certificate|unsupported|invalid")

_NEXT_STEPS = {
    "SQLITE_FULL": "free some space on the disk, then run the same command again",
    "SQLITE_IOERR": "see what is wrong with the disk, then run the same command again",
    "SQLITE_READONLY": "let this user write the file and its folder, then run the same command again",
    "SQLITE_CANTOPEN": "see whether the file was moved or may not be read, or name another with --storage",
    "SQLITE_BUSY": "end the process that keeps it locked (a dashboard?)",
    "SQLITE_CORRUPT": "restore the file from a copy, or name another with --storage",
    "SQLITE_NOTADB": "name another with --storage",
}


def database_error(error: BaseException) -> Any:
    """SQLAlchemy's error behind an exception, through whatever Optuna made of it; None where there is none."""
    seen: BaseException | None = error
    while seen is not None and not (type(seen).__module__ == "sqlalchemy.exc" and hasattr(seen, "orig")):
        seen = seen.__cause__ or seen.__context__
    return seen


def is_outage(error: Any) -> bool:
    """Whether the same call may succeed later: the server does not answer, or another process writes just now."""
    if sqlite_name := getattr(error.orig, "sqlite_errorname", ""):
        return bool(sqlite_name.startswith("SQLITE_BUSY"))
    if getattr(error, "connection_invalidated", False) or type(error).__name__ == "InterfaceError":
        return True
    if code := getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None):
        return bool(_PASSES.match(code))
    # Where no connection came about there is no code, only a sentence.
    return type(error).__name__ == "OperationalError" and not _STAYS.search(str(error.orig))


def has_no_tables(error: Any) -> bool:
    """Whether the database is there and Optuna never stored anything in it."""
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return code == "42P01" or "no such table" in str(error.orig)


def cause(error: Any) -> str:
    """What went wrong, and the next step where one is known."""
    text = " ".join(str(error.orig).split()) or type(error.orig).__name__
    name = getattr(error.orig, "sqlite_errorname", "")
    step = next((step for start, step in _NEXT_STEPS.items() if name.startswith(start)), None)
    if name.startswith(("SQLITE_IOERR", "SQLITE_FULL")) and (limit := shell_limit("-f")):
        step = f"{limit}, which may be why: raise it, then run the same command again"
    elif step is None and is_outage(error):
        step = "the same command goes on when it does"
    elif step is None and _STAYS.search(text):
        step = "see the user, the password and the database in its URL"
    return f"{text}; {step}" if step else text
