"""Whatever happens to a folder of checkpoints, the newest whole one is found, and nothing else is taken for one."""

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
def store(tmp_path: Path) -> CheckpointStore:
    """With two checkpoints."""
    store = CheckpointStore(tmp_path / "checkpoints")
    store.save(1, OLD)
    store.save(2, NEW)
    return store


def names(store: CheckpointStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def newest(folder: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """What another process would find."""
    return CheckpointStore(folder).newest(bytes)


def test_it_loads_with_the_standard_library_alone() -> None:
    """A doctor that only checks files must not wait seconds for torch."""
    code = "import search.slots.checkpoint_store, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - sys.stdlib_module_names == {"__main__", "search"}


def test_an_empty_folder_has_no_checkpoint_and_no_complaint(tmp_path: Path) -> None:
    assert newest(tmp_path / "none yet") == (None, ())


def test_the_newest_two_are_kept(store: CheckpointStore) -> None:
    for step in range(3, 12):
        store.save(step, NEW + bytes(step))
    assert names(store) == ["step-00000010.ckpt", "step-00000011.ckpt"]
    assert newest(store.folder) == (NEW + bytes(11), ())


def damaged(store: CheckpointStore, data: bytes) -> None:
    """The newest checkpoint is now `data`: it must be refused by name, and the one before be found."""
    path = store.folder / "step-00000002.ckpt"
    path.write_bytes(data)
    payload, (rejected,) = newest(store.folder)
    assert payload == OLD
    assert rejected.startswith("step-00000002.ckpt: BadCheckpointError: it")
    assert path.read_bytes() == data, "refused, not removed"


def test_every_flipped_bit_is_noticed(store: CheckpointStore) -> None:
    whole = (store.folder / "step-00000002.ckpt").read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        damaged(store, bytes(changed))


def test_sixty_of_sixty_random_flips_in_a_file_of_real_size_are_noticed(tmp_path: Path) -> None:
    store, draw = CheckpointStore(tmp_path), random.Random(0)
    store.save(1, OLD)
    store.save(2, draw.randbytes(500_000))
    whole = (tmp_path / "step-00000002.ckpt").read_bytes()
    for _ in range(60):
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        damaged(store, bytes(changed))


def test_every_length_of_a_file_that_was_cut_short_is_noticed(store: CheckpointStore) -> None:
    whole = (store.folder / "step-00000002.ckpt").read_bytes()
    for length in range(len(whole)):
        damaged(store, whole[:length])


@pytest.mark.parametrize("tail", [b"\0", b"\n", b"more", bytes(4096)])
def test_bytes_after_the_end_and_other_contents_are_noticed(store: CheckpointStore, tail: bytes) -> None:
    whole = (store.folder / "step-00000002.ckpt").read_bytes()
    for data in (whole + tail, bytes(len(whole)), whole + whole, whole.replace(b"checkpoint 1 ", b"checkpoint 2 ", 1)):
        damaged(store, data)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_refused_without_waiting(store: CheckpointStore, kind: str, tmp_path: Path) -> None:
    path = store.folder / "step-00000002.ckpt"
    elsewhere = path.rename(tmp_path / "elsewhere.ckpt")
    {"link": lambda: path.symlink_to(elsewhere), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    payload, (rejected,) = newest(store.folder)
    assert payload == OLD
    assert rejected.startswith("step-00000002.ckpt: BadCheckpointError: it")


def test_one_that_was_refused_does_not_count_as_one_of_two(store: CheckpointStore) -> None:
    (store.folder / "step-00000002.ckpt").write_bytes(b"damaged")
    again = CheckpointStore(store.folder)
    assert again.newest(bytes)[0] == OLD
    again.save(1, OLD)
    assert names(again) == ["step-00000001.ckpt"], "the refused one would have been found first for ever"
    again.save(2, NEW)
    assert names(again) == ["step-00000001.ckpt", "step-00000002.ckpt"]


def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_is_relied_on(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        info = os.fstat(descriptor)
        done.append("sync folder" if stat.S_ISDIR(info.st_mode) else f"sync {info.st_size} bytes")

    def recorded_replace(source: Path, target: Path) -> None:
        replace(source, target)
        done.append(f"name {Path(target).name}")

    def recorded_unlink(path: Path) -> None:
        unlink(path)
        done.append(f"remove {Path(path).name}")

    for name, recorded in (("fsync", recorded_fsync), ("replace", recorded_replace), ("unlink", recorded_unlink)):
        monkeypatch.setattr(os, name, recorded)
    store.save(3, NEW)
    size = (store.folder / "step-00000003.ckpt").stat().st_size
    assert done == [f"sync {size} bytes", "name step-00000003.ckpt", "sync folder", "remove step-00000001.ckpt"]
    done.clear()
    store.finish(NEW)
    assert done[:3] == [f"sync {size} bytes", "name final.ckpt", "sync folder"]
    assert set(done[3:]) == {"remove step-00000002.ckpt", "remove step-00000003.ckpt"}


CHILD = """
import os, signal, sys
from pathlib import Path
from search.slots.checkpoint_store import CheckpointStore

def at_the_point(event, arguments):
    if event == "cifar_search.checkpoint." + sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

store = CheckpointStore(Path(sys.argv[1]))
store.newest(bytes)
sys.addaudithook(at_the_point)
store.save(3, sys.argv[4].encode()) if sys.argv[3] == "save" else store.finish(sys.argv[4].encode())
"""


@pytest.mark.parametrize("point", get_args(Point))
@pytest.mark.parametrize("what", ["save", "finish"])
def test_a_kill_at_any_point_leaves_the_old_or_the_new(store: CheckpointStore, point: Point, what: str) -> None:
    next_one = "the one that was being written" * 1000
    child = subprocess.run([sys.executable, "-S", "-c", CHILD, store.folder, point, what, next_one], cwd=ROOT)
    assert child.returncode == -signal.SIGKILL
    assert newest(store.folder) == (next_one.encode() if point in ("renamed", "kept") else NEW, ())
    assert bool(list(store.folder.glob(PARTIAL))) == (point in ("half", "written", "synced"))
    store.save(4, NEW)
    assert not list(store.folder.glob(PARTIAL)), "a new one clears what the killed one left"


def test_a_full_disk_is_said_with_the_path_and_harms_no_former_checkpoint(tmp_path: Path) -> None:
    with full_disk(tmp_path / "disk") as error:
        store = CheckpointStore(tmp_path / "disk")
        store.save(1, NEW)
        for attempt in (lambda: store.save(2, bytes(100_000)), lambda: store.finish(bytes(100_000))):
            with pytest.raises(OSError, match=str(tmp_path / "disk")) as raised:
                attempt()
            assert raised.value.errno == error
            assert names(store) == ["step-00000001.ckpt"], "what was written of it gives its room back"
            assert newest(store.folder)[0] == NEW


def test_what_a_killed_writer_left_makes_room_before_the_next_is_written(tmp_path: Path) -> None:
    with full_disk(tmp_path / "disk"):
        (tmp_path / "disk" / "step-00000001.ckpt.4711.part").write_bytes(bytes(12_000))
        CheckpointStore(tmp_path / "disk").save(2, bytes(12_000))
        assert newest(tmp_path / "disk")[0] == bytes(12_000)


def test_a_planted_link_is_replaced_and_never_written_through(store: CheckpointStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("step-00000003.ckpt", f"step-00000003.ckpt.{os.getpid()}.part"):
        (store.folder / name).symlink_to(victim)
    store.save(3, NEW)
    assert victim.read_text() == "mine"
    assert newest(store.folder)[0] == NEW


def test_weights_are_written_the_same_way(tmp_path: Path) -> None:
    """Neither a link nor the partial file of a killed process with the same number is in the way."""
    path, partial = tmp_path / "weights", tmp_path / f"weights.{os.getpid()}.part"
    (tmp_path / "victim").write_text("mine")
    partial.symlink_to(tmp_path / "victim")
    write_whole(path, b"first")
    partial.write_bytes(b"left behind")
    write_whole(path, b"second")
    assert (path.read_bytes(), (tmp_path / "victim").read_text()) == (b"second", "mine")
    assert not partial.exists()


def test_the_final_checkpoint_takes_the_place_of_all(store: CheckpointStore) -> None:
    digest = store.finish(b"the end")
    assert digest == sha256(b"the end").hexdigest()
    assert names(store) == ["final.ckpt"]
    assert CheckpointStore(store.folder).final() == b"the end"
    assert newest(store.folder)[0] == b"the end"
    assert store.verify_final(digest) is None


def test_what_is_wrong_with_a_final_checkpoint_is_said(store: CheckpointStore) -> None:
    path = store.folder / "final.ckpt"
    with pytest.raises(BadCheckpointError, match="No such file"):
        store.final()
    assert store.verify_final("0" * 64) == f"{path}: it cannot be read: No such file or directory"
    digest = store.finish(b"the end")
    assert str(store.verify_final("0" * 64)).startswith(f"{path}: it is whole, but another")
    path.write_bytes(path.read_bytes()[:-1])
    assert "cut short or changed" in str(store.verify_final(digest))


def test_clearing_removes_its_own_and_leaves_what_is_not(store: CheckpointStore, tmp_path: Path) -> None:
    (store.folder / "step-00000003.ckpt.4711.part").touch()
    (store.folder / "notes.txt").touch()
    (tmp_path / "kept.ckpt").touch()
    (store.folder / "step-00000009.ckpt").symlink_to(tmp_path / "kept.ckpt")
    store.clear()
    assert names(store) == ["notes.txt"]
    assert (tmp_path / "kept.ckpt").exists()
    (store.folder / "notes.txt").unlink()
    store.clear()
    assert not store.folder.exists()
    store.clear()


def test_clearing_does_not_follow_a_link_in_place_of_the_folder(store: CheckpointStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store.folder)
    CheckpointStore(tmp_path / "link").clear()
    assert newest(store.folder)[0] == NEW
