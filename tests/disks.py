"""Disks that are full, and folders that may not be written."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[bool]:
    """Mounts a file system of this size on a new folder; gives whether that worked, for which it takes root."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A folder with a file system of its own, of this size; skips the test where none can be mounted."""
    with mounted(folder, size) as done:
        if not done:
            pytest.skip("only root can mount a file system")
        yield


@contextmanager
def full_disk(folder: Path) -> Iterator[int]:
    """A folder in which some 20 kB can be written; gives the error of more."""
    with mounted(folder, "20k") as done:
        if done:
            yield errno.ENOSPC
            return
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            yield errno.EFBIG
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill(path: Path) -> None:
    """Writes a file until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@contextmanager
def permissions_count() -> Iterator[None]:
    """The permissions of files hold for root as for everybody else; skips the test where that cannot be."""
    libc, root = ctypes.CDLL(None, use_errno=True), os.geteuid() == 0
    header, rights = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)  # version 3, this thread
    if root and (sys.platform != "linux" or libc.capget(header, rights)):
        pytest.skip("root may do everything here")
    effective, *rest = struct.unpack("6I", rights)
    without = effective & ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    if root:
        assert libc.capset(header, struct.pack("6I", without, *rest)) == 0
    try:
        yield
    finally:
        if root:
            libc.capset(header, rights)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that is read-only for everybody; skips the test where that takes a mount that cannot be made."""
    mounts = [["mount", "--bind", folder, folder], ["mount", "-o", "remount,bind,ro", folder]]
    root = os.geteuid() == 0
    if root and any(subprocess.run(mount, capture_output=True, check=False).returncode for mount in mounts):
        pytest.skip("no read-only file system can be mounted")
    for path in [] if root else [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o555)
    try:
        yield
    finally:
        if root:
            subprocess.run(["umount", "-l", folder], check=True)
        for path in [] if root else [folder, *folder.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
