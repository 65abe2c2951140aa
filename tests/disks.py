"""Disks that are full."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def full_disk(folder: Path) -> Iterator[int]:
    """A folder in which some 20 kB can be written; gives the error of more."""
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mounted, capture_output=True).returncode == 0:
        try:
            yield errno.ENOSPC
        finally:
            subprocess.run(["umount", folder], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
