"""The shelf: whatever befalls it, the newest whole checkpoint is found, and nothing else is taken for one."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import get_args

import pytest
from disks import full_disk

from search.files import PARTIAL, Point, write_whole
from search.slots.checkpoint_store import BadCheckpointError, CheckpointStore

OLD, NEW = b"the checkpoint before " * 10, b"the newest checkpoint " * 10
ROOT = Path(__file__).parents[2]


@pytest.fixture
def shelf(tmp_path: Path) -> CheckpointStore:
    """With two checkpoints."""
    shelf = CheckpointStore(tmp_path / "shelf")
    shelf.save(1, OLD)
    shelf.save(2, NEW)
    return shelf


def names(shelf: CheckpointStore) -> list[str]:
    return sorted(path.name for path in shelf.folder.iterdir())


def newest(shelf: CheckpointStore) -> bytes | None:
    """What another process would find."""
    return CheckpointStore(shelf.folder).newest()[0]


def test_it_loads_with_the_standard_library_alone() -> None:
    """A doctor that only checks files must not wait seconds for torch."""
    code = "import search.slots.checkpoint_store, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - sys.stdlib_module_names == {"__main__", "search"}


def test_an_empty_shelf_has_nothing_and_complains_of_nothing(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "none yet").newest() == (None, ())


def test_the_newest_two_are_kept(shelf: CheckpointStore) -> None:
    for step in range(3, 12):
        shelf.save(step, NEW + bytes(step))
    assert names(shelf) == ["step-00000010.ckpt", "step-00000011.ckpt"]
    assert CheckpointStore(shelf.folder).newest() == (NEW + bytes(11), ())


def damaged(shelf: CheckpointStore, data: bytes) -> None:
    """The newest checkpoint is now `data`: it must be refused by name, and the one before be found."""
    path = shelf.folder / "step-00000002.ckpt"
    path.write_bytes(data)
    found, rejected = CheckpointStore(shelf.folder).newest()
    assert found == OLD
    assert len(rejected) == 1
    assert rejected[0].startswith("step-00000002.ckpt: it")
    assert path.read_bytes() == data, "refused, not removed"


def test_every_flipped_bit_is_noticed(shelf: CheckpointStore) -> None:
    whole = (shelf.folder / "step-00000002.ckpt").read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        damaged(shelf, bytes(changed))


def test_sixty_of_sixty_random_flips_in_a_file_of_real_size_are_noticed(tmp_path: Path) -> None:
    shelf, draw = CheckpointStore(tmp_path), random.Random(0)
    shelf.save(1, OLD)
    shelf.save(2, draw.randbytes(500_000))
    whole = (tmp_path / "step-00000002.ckpt").read_bytes()
    for _ in range(60):
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        damaged(shelf, bytes(changed))


def test_every_length_of_a_file_that_was_cut_short_is_noticed(shelf: CheckpointStore) -> None:
    whole = (shelf.folder / "step-00000002.ckpt").read_bytes()
    for length in range(len(whole)):
        damaged(shelf, whole[:length])


@pytest.mark.parametrize("tail", [b"\0", b"\n", b"more", bytes(4096)])
def test_bytes_after_the_end_are_noticed(shelf: CheckpointStore, tail: bytes) -> None:
    damaged(shelf, (shelf.folder / "step-00000002.ckpt").read_bytes() + tail)


def test_a_file_of_zeros_and_two_files_in_one_are_noticed(shelf: CheckpointStore) -> None:
    whole = (shelf.folder / "step-00000002.ckpt").read_bytes()
    damaged(shelf, bytes(len(whole)))
    damaged(shelf, whole + whole)
    damaged(shelf, whole.replace(b"checkpoint 1 ", b"checkpoint 2 ", 1))


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_refused_without_waiting(shelf: CheckpointStore, kind: str, tmp_path: Path) -> None:
    path = shelf.folder / "step-00000002.ckpt"
    elsewhere = path.rename(tmp_path / "elsewhere.ckpt")
    {"link": lambda: path.symlink_to(elsewhere), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    found, rejected = CheckpointStore(shelf.folder).newest()
    assert found == OLD
    assert rejected[0].startswith("step-00000002.ckpt: it")


def test_one_that_was_refused_does_not_count_as_one_of_two(shelf: CheckpointStore) -> None:
    (shelf.folder / "step-00000002.ckpt").write_bytes(b"damaged")
    again = CheckpointStore(shelf.folder)
    assert again.newest()[0] == OLD
    again.save(1, OLD)
    assert names(again) == ["step-00000001.ckpt"], "the refused one would have been found first for ever"
    again.save(2, NEW)
    assert names(again) == ["step-00000001.ckpt", "step-00000002.ckpt"]


def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_is_relied_on(
    shelf: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        written = 0 if folder else os.fstat(descriptor).st_size
        done.append("sync folder" if folder else f"sync {written} bytes")

    def recorded_replace(source: Path, target: Path) -> None:
        replace(source, target)
        done.append(f"name {Path(target).name}")

    def recorded_unlink(path: Path) -> None:
        unlink(path)
        done.append(f"remove {Path(path).name}")

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    monkeypatch.setattr(os, "unlink", recorded_unlink)
    shelf.save(3, NEW)
    size = (shelf.folder / "step-00000003.ckpt").stat().st_size
    assert done == [f"sync {size} bytes", "name step-00000003.ckpt", "sync folder", "remove step-00000001.ckpt"]
    done.clear()
    shelf.finish(NEW)
    assert done[:3] == [f"sync {size} bytes", "name final.ckpt", "sync folder"]
    assert set(done[3:]) == {"remove step-00000002.ckpt", "remove step-00000003.ckpt"}


CHILD = """
import os, signal, sys
from pathlib import Path
from search.slots.checkpoint_store import CheckpointStore

def at_the_point(event, arguments):
    if event == "cifar_search.checkpoint." + sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

shelf = CheckpointStore(Path(sys.argv[1]))
shelf.newest()
sys.addaudithook(at_the_point)
shelf.save(3, sys.argv[4].encode()) if sys.argv[3] == "save" else shelf.finish(sys.argv[4].encode())
"""


@pytest.mark.parametrize("point", get_args(Point))
@pytest.mark.parametrize("what", ["save", "finish"])
def test_a_kill_at_any_point_leaves_the_old_or_the_new(shelf: CheckpointStore, point: Point, what: str) -> None:
    next_one = "the one that was being written" * 1000
    child = subprocess.run([sys.executable, "-S", "-c", CHILD, shelf.folder, point, what, next_one], cwd=ROOT)
    assert child.returncode == -signal.SIGKILL
    found, rejected = CheckpointStore(shelf.folder).newest()
    assert found == (next_one.encode() if point in ("renamed", "kept") else NEW)
    assert rejected == ()
    assert bool(list(shelf.folder.glob(PARTIAL))) == (point in ("half", "written", "synced"))
    shelf.save(4, NEW)
    assert not list(shelf.folder.glob(PARTIAL)), "a new one clears what the killed one left"


def test_a_full_disk_is_said_with_the_path_and_harms_no_former_checkpoint(tmp_path: Path) -> None:
    with full_disk(tmp_path / "disk") as error:
        shelf = CheckpointStore(tmp_path / "disk")
        shelf.save(1, NEW)
        for attempt in (lambda: shelf.save(2, bytes(100_000)), lambda: shelf.finish(bytes(100_000))):
            with pytest.raises(OSError, match=str(tmp_path / "disk")) as raised:
                attempt()
            assert raised.value.errno == error
            assert names(shelf) == ["step-00000001.ckpt"], "what was written of it gives its room back"
            assert newest(shelf) == NEW


def test_what_a_killed_writer_left_makes_room_before_the_next_is_written(tmp_path: Path) -> None:
    with full_disk(tmp_path / "disk"):
        (tmp_path / "disk" / "step-00000001.ckpt.4711.part").write_bytes(bytes(12_000))
        CheckpointStore(tmp_path / "disk").save(2, bytes(12_000))
        assert newest(CheckpointStore(tmp_path / "disk")) == bytes(12_000)


def test_a_planted_link_is_replaced_and_never_written_through(shelf: CheckpointStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("step-00000003.ckpt", f"step-00000003.ckpt.{os.getpid()}.part"):
        (shelf.folder / name).symlink_to(victim)
    shelf.save(3, NEW)
    assert victim.read_text() == "mine"
    assert newest(shelf) == NEW


def test_a_file_beside_no_shelf_is_written_the_same_way(tmp_path: Path) -> None:
    """Weights too: neither a link nor the leavings of a killed process of the same number are in its way."""
    path, partial = tmp_path / "weights", tmp_path / f"weights.{os.getpid()}.part"
    (tmp_path / "victim").write_text("mine")
    partial.symlink_to(tmp_path / "victim")
    write_whole(path, b"first")
    partial.write_bytes(b"left behind")
    write_whole(path, b"second")
    assert (path.read_bytes(), (tmp_path / "victim").read_text()) == (b"second", "mine")
    assert not partial.exists()


def test_the_final_checkpoint_takes_the_place_of_all(shelf: CheckpointStore) -> None:
    digest = shelf.finish(b"the end")
    assert digest == sha256(b"the end").hexdigest()
    assert names(shelf) == ["final.ckpt"]
    assert CheckpointStore(shelf.folder).final() == b"the end"
    assert newest(shelf) == b"the end"
    assert shelf.verify_final(digest) is None


def test_what_is_wrong_with_a_final_checkpoint_is_said(shelf: CheckpointStore) -> None:
    path = shelf.folder / "final.ckpt"
    with pytest.raises(BadCheckpointError, match="No such file"):
        shelf.final()
    assert shelf.verify_final("0" * 64) == f"{path}: it cannot be read: No such file or directory"
    digest = shelf.finish(b"the end")
    assert str(shelf.verify_final("0" * 64)).startswith(f"{path}: it is whole, but another")
    path.write_bytes(path.read_bytes()[:-1])
    assert "cut short or changed" in str(shelf.verify_final(digest))


def test_clearing_removes_its_own_and_leaves_what_is_not(shelf: CheckpointStore, tmp_path: Path) -> None:
    (shelf.folder / "step-00000003.ckpt.4711.part").touch()
    (shelf.folder / "notes.txt").touch()
    (tmp_path / "kept.ckpt").touch()
    (shelf.folder / "step-00000009.ckpt").symlink_to(tmp_path / "kept.ckpt")
    shelf.clear()
    assert names(shelf) == ["notes.txt"]
    assert (tmp_path / "kept.ckpt").exists()
    (shelf.folder / "notes.txt").unlink()
    shelf.clear()
    assert not shelf.folder.exists()
    shelf.clear()


def test_clearing_does_not_follow_a_link_in_place_of_the_folder(shelf: CheckpointStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(shelf.folder)
    CheckpointStore(tmp_path / "link").clear()
    assert newest(shelf) == NEW
