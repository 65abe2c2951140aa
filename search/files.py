"""Files that are whole or not there, whatever ends the process or the machine."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

LFS_POINTER = b"version https://git-lfs"  # what begins a file of which Git LFS has the content elsewhere
PARTIAL = "*.part"  # what a writer that was killed leaves behind

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
