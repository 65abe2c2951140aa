"""One supervisor for one study on one machine: a lock that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studies import StudyError


class LockedError(StudyError):
    """Another process holds the lock: which one, and what to do."""


@contextmanager
def lock(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Holds the lock file until the block ends or the process dies, however it dies. Raises LockedError.

    `shared` lets in others that share it, and keeps out who wants it alone.

    A forked child shares the lock; one that is spawned does not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise LockedError(
                f"process {holder} already works on this study (it holds {path}): "
                "wait until it ends, stop it, or name another study with --study"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)  # the file stays: removing it would let two processes hold two files of one name
