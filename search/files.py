"""Files that are whole or not there, whatever ends the process or the machine."""

import fcntl
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from search.errors import DataError

LFS_POINTER = b"version https://git-lfs"  # what begins a file of which Git LFS has the content elsewhere
PARTIAL = "*.part"  # what a writer that was killed leaves behind
UNPACKING = ".unpacking-"  # begins the name of a folder of what is not whole yet

# Each raises the audit event cifar_search.checkpoint.<point> with the path, so that a test can end the process there.
Point = Literal["begin", "half", "written", "synced", "renamed", "kept"]


def write_whole(path: Path, payload: bytes, *, header: bytes = b"") -> None:
    """Write a file so that at any moment, a loss of power included, `path` is the old one or the new. Raises OSError.

    The OSError names `path`; by itself that of a full disk names no file.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    view, half = memoryview(payload), len(payload) // 2
    parts: tuple[tuple[memoryview, Point], ...] = ((view[:half], "half"), (view[half:], "written"))
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb") as file:
            file.write(header)
            for part, point in parts:
                file.write(part)
                file.flush()
                audit(point, path)
            os.fsync(file.fileno())  # before the rename, or a loss of power could leave the new name without its bytes
        audit("synced", path)
        partial.replace(path)
        audit("renamed", path)
        sync_folder(path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def fresh_folder(root: Path) -> Iterator[Path]:
    """A new folder in `root` for what is not whole yet; what is left in it goes at the end, also at a signal.

    What killed processes left there goes before, unless another one is at work.
    """

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    root.mkdir(parents=True, exist_ok=True)
    main = threading.current_thread() is threading.main_thread()
    deadly = [each for each in (signal.SIGTERM, signal.SIGHUP) if main and signal.getsignal(each) == signal.SIG_DFL]
    descriptor = os.open(root, os.O_RDONLY)
    try:
        for each in deadly:
            signal.signal(each, leave)
        with suppress(OSError):  # another process is at work here, or the file system has no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in root.glob(f"{UNPACKING}*"):
                shutil.rmtree(left)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        with TemporaryDirectory(dir=root, prefix=UNPACKING) as name:
            yield Path(name)
    finally:
        os.close(descriptor)
        for each in deadly:
            signal.signal(each, signal.SIG_DFL)


def cache_folder() -> Path:
    """The user's folder for what can be made again; as XDG has it, a path that is not absolute says nothing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (cache if cache.is_absolute() else Path.home() / ".cache") / "cifar-search"
    except RuntimeError:  # a user without a name, as in a container
        raise DataError("this user has no home to keep data in: set HOME or XDG_CACHE_HOME to a folder") from None


def home(path: str | Path) -> Path:
    """The same path, with ~ and ~USER as the shell reads them: it leaves them alone in --runs=~/x and in a URL."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's own fails for an unknown user


def in_the_way(path: Path) -> str | None:
    """A sentence about what lies on the way to a path, a link that leads nowhere or a file; None where nothing does."""
    for place in (path, *path.parents):
        if os.path.islink(place) and not os.path.exists(place):  # noqa: PTH110, PTH114 - Path's own may raise
            return f"{place} points to {place.readlink()}, which is not there (not mounted?)"
        if place != path and os.path.isfile(place):  # noqa: PTH113 - likewise
            return f"{place} is a file, where a folder is wanted"
    return None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def audit(point: Point, path: Path) -> None:
    sys.audit(f"cifar_search.checkpoint.{point}", str(path))
