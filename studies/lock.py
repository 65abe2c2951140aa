"""The lock of a study: one process at a time owns it, and the lock ends with that process."""

import fcntl
import hashlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event

from studies import StudyError

NETWORK_FILE_SYSTEMS = {
    "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2", "smb3",
    "smbfs", "fuse.ceph-fuse", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
}  # fmt: skip
"""File locks on them are missing or late, so SQLite loses transactions.

9p and virtiofs are not in the list: to a container or a virtual machine they may be its own disk.
"""

MOUNTS = Path("/proc/self/mountinfo")  # Linux only; elsewhere the kind of a file system stays unknown

_OWNER = (
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' "
    "AND granted AND classid::bigint = %s AND objid::bigint = %s"
)  # of a lock of PostgreSQL


class LockedError(StudyError):
    """Another process owns the study: the sentence says which one, and what to do."""


@contextmanager
def file_lock(path: Path, *, owned: str) -> Iterator[None]:
    """Holds a lock file until the block ends or the process dies. Raises LockedError; `owned` says what it protects.

    A forked child shares the lock; a spawned one does not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(descriptor).st_nlink:
                raise BlockingIOError  # it was deleted with its study just now
        except BlockingIOError:
            owner, _, place = os.read(descriptor, 400).decode(errors="replace").strip().partition(" ")
            host = f" on {place.split()[0]}, in another container," if place not in ("", _place()) else ""
            raise locked(f"process {owner or 'unknown'}{host}", owned=owned, lock=str(path)) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {_place()}\n".encode())
        yield
    finally:
        os.close(descriptor)  # the file stays, but for a study that is deleted


def is_locked(path: Path) -> bool:
    """Whether a process holds this lock file now; a file that was only left behind is not locked."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def lock_path(database: Path, study: str) -> Path:
    """The lock file of a study in a SQLite file. It lies beside the file, whichever folder of runs is used."""
    database = database.resolve()
    return database.with_name(f"{database.name}.{study}.lock")


def locked(owner: str, *, owned: str, lock: str) -> LockedError:
    """The error for a lock that somebody else holds, or an earlier search of this process that was never closed."""
    _, _, host = owner.partition(" on ")
    here = not host or host.startswith(f"{socket.gethostname()} (")  # as a server names it
    own = "; if it is this one, close() what the earlier run() returned, or restart the kernel"
    own *= here and owner.split()[:2] == ["process", str(os.getpid())]
    stop = "stop it" if here else "stop it there"
    what = f"{owner} already works on {owned} (it holds {lock})"
    return LockedError(f"{what}: wait until it ends, {stop}, or name another with --study{own}")


def _place() -> str:
    """Where the number of a process means this one: the host, and on Linux the container's numbering."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {namespace.readlink() if namespace.is_symlink() else ''}".strip()


@dataclass(frozen=True)
class ServerLock:
    """An advisory lock of PostgreSQL or MySQL, taken on each new connection before anything is written through it.

    The engine keeps a single connection, so the connection that writes always holds the lock: after a reconnect the
    lock is taken again first. The server ends it together with the connection.
    """

    backend: str  # postgresql or mysql
    study: str

    def connected(self, connection: Any, _record: object) -> None:
        """SQLAlchemy calls this with each new connection of the driver. Raises LockedError."""
        # 63 bits, from the study's name. Advisory locks are separate for each database of a server.
        key = int.from_bytes(hashlib.sha256(f"cifar-search study {self.study}".encode()).digest()[:8]) >> 1
        mysql = self.backend == "mysql"
        with closing(connection.cursor()) as cursor:
            if mysql:
                cursor.execute("SELECT GET_LOCK(%s, 0)", (str(key),))
            else:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (key,))
            if cursor.fetchone()[0] in (True, 1):
                connection.commit()
                return
            if mysql:
                cursor.execute("SELECT CONCAT('connection ', IS_USED_LOCK(%s))", (str(key),))
            else:
                cursor.execute(_OWNER, (key >> 32, key & 0xFFFFFFFF))
            row = cursor.fetchone()
        connection.close()
        owner = str(row[0]) if row else "another process"
        raise locked(owner, owned=f"study {self.study!r}", lock="the study's lock in the database")


def end_at_outage(engine: Any, outage: Callable[[Any], Exception | None]) -> None:
    """Raises the exception that `outage` makes of an error of the database, if any, as soon as it happens.

    Optuna would repeat the creation of a trial by itself, also one that was stored and whose answer was lost.
    """

    def handle(context: Any) -> None:
        # The test of a pooled connection before its use may fail: SQLAlchemy then takes a new one.
        if not context.is_pre_ping and (error := outage(context.sqlalchemy_exception)):
            raise error

    event.listen(engine, "handle_error", handle)


def network_file_system(folder: Path) -> str | None:
    """The kind of the network file system that an existing folder lies on; None for a local or an unknown one."""
    mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape") if MOUNTS.exists() else ""
    folder = folder.resolve()
    kind, depth = "", -1
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        # Blanks and backslashes are written as octal numbers there.
        place = Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), left.split()[4]))
        # Of two mounts on one place the later one is seen.
        if (place == folder or place in folder.parents) and len(place.parts) >= depth:
            kind, depth = right.split()[0], len(place.parts)
    return kind if kind in NETWORK_FILE_SYSTEMS else None
