"""How each kind of database is spoken to, so that nothing waits for ever and nothing is half written."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import quote

import sqlalchemy

WAIT = 60.0  # seconds that SQLite waits for another process to end its transaction
CONNECT = 10  # seconds to reach a server
STATEMENT = 30  # seconds that a server may work on one statement
IDLE = 60  # seconds that a process may pause inside a transaction, while others wait for its turn to end
SILENCE = 50.0  # seconds after which a transaction without an end is given up
READ_ONLY = "read_only"  # execution option of a connection: its transactions wait for no other
KEY = 0x63696661  # of the lock that is held while the tables are made: any number that nobody else uses

_ALIVE = {"idle": 10, "interval": 10, "count": 3}  # a peer that is gone without a word is noticed after 40 seconds


def sqlite(file: Path) -> dict[str, Any]:
    """What SQLAlchemy needs to open an existing SQLite file."""
    # A file is opened in no time, and closed even where something fails.
    return {"creator": partial(connect, file), "poolclass": sqlalchemy.NullPool}


def connect(file: Path) -> sqlite3.Connection:
    """An existing SQLite file: one that was removed meanwhile is missed, not made anew without its tables."""
    name = f"file:{quote(str(file))}?mode=rw"
    # Isolation None: how a transaction begins is told below.
    return sqlite3.connect(name, uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False)


def settle_sqlite(engine: sqlalchemy.Engine, *, read_only: bool) -> None:
    """Sets how the transactions of a SQLite engine begin, and how they are written."""
    if not read_only:
        with engine.connect() as connection:
            # Not write-ahead logging, if someone has set it: it may corrupt a file in a SQLite before 3.51.3
            # (sqlite.org/wal.html), and a transaction of 20 rows took 3.0 ms with it and 3.1 ms without.
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")

    def begin(connection: sqlalchemy.Connection) -> None:
        # A waiting trial is read, then marked as running: nothing less than a transaction that takes the write lock at
        # its start keeps two processes from taking the same one.
        only = read_only or connection.get_execution_options().get(READ_ONLY)
        connection.exec_driver_sql("BEGIN" if only else "BEGIN IMMEDIATE")

    sqlalchemy.event.listen(engine, "begin", begin)


class Line:
    """The connection to a server, which is cut where no answer comes for too long.

    A proxy in between may take every question and answer none: no limit of the driver's or the server's helps then.
    """

    def __init__(self) -> None:
        self._connection: Any = None

    def connected(self, connection: Any, _record: object) -> None:
        """For SQLAlchemy to call with a new connection of the driver's."""
        self._connection = connection

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Cuts the line if the block takes longer than a transaction may."""
        if self._connection is None:  # no server, or not connected yet, which is limited otherwise
            yield
            return
        timer = Timer(SILENCE, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        with suppress(Exception), socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)  # who waits for an answer gets the end of the line


def postgresql(url: sqlalchemy.URL, *, line: Line) -> dict[str, Any]:
    """What SQLAlchemy needs to reach a PostgreSQL server through psycopg or psycopg2."""
    settings = {
        "statement_timeout": f"{STATEMENT}s",
        "lock_timeout": f"{STATEMENT - 5}s",  # earlier, since it names the reason
        "idle_in_transaction_session_timeout": f"{IDLE}s",
        # The server has to notice too that a machine is gone, or its turn would not end for two hours.
        **{f"tcp_keepalives_{name}": seconds for name, seconds in _ALIVE.items()},
    }
    own = url.query.get("options", "")
    options = [own if isinstance(own, str) else " ".join(own)]
    return {
        "pool_pre_ping": True,
        "pool_events": [(line.connected, "connect")],
        "connect_args": {
            "connect_timeout": CONNECT,
            "keepalives": 1,
            **{f"keepalives_{name}": seconds for name, seconds in _ALIVE.items()},
            "tcp_user_timeout": 1000 * STATEMENT,  # milliseconds; keep-alives do not speak while an answer is due
            "options": " ".join([*options, *(f"-c {name}={value}" for name, value in settings.items())]).strip(),
            "application_name": "cifar-search",
        },
    }
