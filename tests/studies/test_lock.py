"""A lock has one holder, who can be named, and ends with him."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from studies.lock import LockedError, lock


def test_second_holder_is_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "lock"
    said = f"process {os.getpid()} already works on this study"
    with lock(path), pytest.raises(LockedError, match=said), lock(path):
        pass


def test_lock_is_free_after_its_holder(tmp_path: Path) -> None:
    with lock(tmp_path / "lock"):
        pass
    with pytest.raises(KeyError), lock(tmp_path / "lock"):
        raise KeyError
    with lock(tmp_path / "lock"):
        pass


def test_sharing_lets_in_who_shares_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock(path, shared=True), lock(path, shared=True), pytest.raises(LockedError), lock(path):
        pass
    with lock(path), pytest.raises(LockedError), lock(path, shared=True):
        pass


def test_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("kept")
    with pytest.raises(OSError, match="symbolic link"), lock(tmp_path / "lock"):
        pass
    assert (tmp_path / "precious").read_text() == "kept"
