"""Real limits of the kernel, as a container has them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")


@contextmanager
def limited(controller: str, **limits: int) -> Iterator[Callable[[int], None]]:
    """Takes a process into a new group of version 1 with these limits; skips the test where none can be made."""
    group = ROOT / controller / f"cifar-search-{os.getpid()}"
    try:
        group.mkdir()
        for name, value in limits.items():
            (group / f"{controller}.{name}").write_text(str(value))
    except OSError as error:
        pytest.skip(f"needs control groups of version 1 that can be written: {error}")
    try:
        yield lambda pid: (group / "cgroup.procs").write_text(str(pid)) and None
    finally:
        (ROOT / controller / "cgroup.procs").write_text(str(os.getpid()))
        deadline = time.monotonic() + 10
        while group.exists() and time.monotonic() < deadline:  # its processes may be dying
            with suppress(OSError):
                group.rmdir()
            time.sleep(0.02)
