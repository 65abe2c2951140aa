"""What an error of a database means: whether it passes by itself, and what to do if it does not."""

from __future__ import annotations

import re
import sqlite3

import sqlalchemy

from studies.engine import WAIT

_PASSES = re.compile(
    "08"  # no connection, or a lost one
    "|53"  # the server has too little memory, disk or connections
    "|57"  # it starts, stops, or ended the statement
    "|40"  # it chose this transaction to fail, so that another could go on
    "|55P03|25P03"  # a lock was not to be had in time; the transaction had paused for too long
    "|25006"  # it has become a standby: another one takes over
)  # of an SQLSTATE, its beginning

_STAYS = re.compile(r"authentication|password|does not exist|pg_hba|permission|denied|certificate|unsupported|invalid")

_STEPS = {
    "SQLITE_FULL": "free some space on the disk, then run the same command again",
    "SQLITE_IOERR": "see what is wrong with the disk, then run the same command again",
    "SQLITE_READONLY": "let this user write the file and its folder, then run the same command again",
    "SQLITE_CANTOPEN": "see whether the file was moved or may not be read, or name another with --storage",
    "SQLITE_BUSY": f"end the process that has kept it locked for {WAIT:.0f} seconds (a dashboard?)",
    "SQLITE_CORRUPT": "restore the file from a copy, or name another with --storage",
    "SQLITE_NOTADB": "name another with --storage",
}


def is_outage(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Whether a server does not answer for now, so that the same call may succeed later."""
    if isinstance(error.orig, sqlite3.Error):
        return False
    if error.connection_invalidated or isinstance(error, sqlalchemy.exc.InterfaceError):
        return True
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if code:
        return bool(_PASSES.match(code))
    # Where no connection came about there is no code, only a sentence.
    return isinstance(error, sqlalchemy.exc.OperationalError) and not _STAYS.search(str(error.orig))


def cause(error: sqlalchemy.exc.DBAPIError) -> str:
    """What went wrong, and the next step where there is a known one."""
    text = " ".join(str(error.orig).split()) or type(error.orig).__name__
    name = getattr(error.orig, "sqlite_errorname", "")
    step = next((step for start, step in _STEPS.items() if name.startswith(start)), None)
    if is_outage(error):
        step = "the same command goes on when it does"
    elif not name and _STAYS.search(text):
        step = "see the user, the password and the database in its URL"
    return f"{text}; {step}" if step else text
