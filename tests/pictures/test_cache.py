"""Pictures are decoded once, checked, and decoded again when they change."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import Make
from PIL import Image

from search.console import terminal
from search.errors import DataError
from search.pictures import cache
from search.pictures.cache import Ingested, ingest
from search.pictures.decode import decode
from search.pictures.listing import list_folder

Ingest = Callable[..., Ingested]


@pytest.fixture
def read(tmp_path: Path) -> Ingest:
    return lambda root, **options: ingest(list_folder(root), cache=tmp_path / "cache", **options)


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded."""
    done: list[Path] = []

    def counted(path: Path, *, side: int, channels: int) -> cache.Pixels:
        done.append(path)
        return decode(path, side=side, channels=channels)

    monkeypatch.setattr(cache, "decode", counted)
    return done


def test_the_pixels_and_the_parts(folder: Make, read: Ingest) -> None:
    root = folder(size=(32, 32), cat=20, dog=10)
    found = read(root)
    assert (found.side, found.channels, found.classes, found.skipped) == (32, 3, ("cat", "dog"), {})
    assert (found.test_made, found.validation_given) == (True, False)
    assert np.bincount(found.column("training", "labels")).tolist() == [16, 8]
    assert np.bincount(found.column("test", "labels")).tolist() == [4, 2]
    files = list_folder(root).files
    for part in ("training", "test"):
        for pixels, file in zip(found.pixels(part), found.column(part, "files"), strict=True):
            assert np.array_equal(pixels, np.asarray(Image.open(root / files[file])))
        assert found.names(part) == [files[file] for file in found.column(part, "files")]
    assert found.kinds == {"PNG RGB of 32 to 63 pixels": 30}


def test_named_parts_are_kept(folder: Make, read: Ingest) -> None:
    for part, count in (("train", 7), ("val", 2), ("test", 3)):
        folder(below=f"photos/{part}", size=(32, 32), cat=count, dog=count)
    found = read(folder(below="photos"))
    assert (found.test_made, found.validation_given) == (False, True)
    assert (len(found.pixels("training")), len(found.pixels("test"))) == (18, 6)
    assert len(found.column("training", "validation")) == 4


def test_the_second_time_nothing_is_decoded_until_a_file_changes(
    folder: Make, read: Ingest, decodings: list[Path]
) -> None:
    root = folder(cat=10, dog=10)
    first = read(root)
    assert len(decodings) == 20
    assert read(root) == first
    assert len(decodings) == 20
    assert read(root, side=33).folder.samefile(first.folder)
    assert len(decodings) == 20, "a decision asks for the side that the search has found"
    assert read(root, side=40).side == 40
    assert len(decodings) == 40
    (root / "cat" / "000.png").write_bytes((root / "cat" / "001.png").read_bytes())
    assert not np.array_equal(np.sort(read(root).pixels("training"), None), np.sort(first.pixels("training"), None))
    assert len(decodings) == 60


@pytest.mark.parametrize("file", ["training.npy", "training.npz", "test.npy", "about.json"])
def test_a_cache_that_was_changed_is_made_again(file: str, folder: Make, read: Ingest, decodings: list[Path]) -> None:
    root = folder(cat=10, dog=10)
    found = read(root)
    before = hashlib.sha256(found.pixels("training")).hexdigest()
    content = bytearray((found.folder / file).read_bytes())
    content[-5 if file != "about.json" else 5] ^= 1
    (found.folder / file).write_bytes(content)
    assert hashlib.sha256(read(root).pixels("training")).hexdigest() == before
    assert len(decodings) == 40


def test_copies_never_stand_on_both_sides(folder: Make, read: Ingest) -> None:
    root = folder(cat=15, dog=10)
    for number in range(5):
        (root / "cat" / f"copy{number}.png").write_bytes((root / "cat" / f"{number:03d}.png").read_bytes())
    found = read(root)
    assert not {*found.column("training", "groups").tolist()} & {*found.column("test", "groups").tolist()}
    assert len({*found.column("training", "groups").tolist(), *found.column("test", "groups").tolist()}) == 25


@pytest.mark.parametrize(("lacking", "said"), [("test", "to test on"), ("val", "to validate on")])
def test_a_part_without_a_class_is_refused(lacking: str, said: str, folder: Make, read: Ingest) -> None:
    for part in ("train", "val", "test"):
        folder(below=f"photos/{part}", cat=10, **{} if part == lacking else {"dog": 10})
    with pytest.raises(DataError, match=rf"a class needs 1 picture {said} .* and dog has 0; add pictures"):
        read(folder(below="photos"))


def test_copies_are_no_pictures_to_validate_on(folder: Make, read: Ingest) -> None:
    root = folder(cat=10, dog=2)
    for number in range(10):
        (root / "dog" / f"copy{number}.png").write_bytes((root / "dog" / f"{number % 2:03d}.png").read_bytes())
    with pytest.raises(DataError, match=r"needs 2 pictures to train and validate on \(copies .* and dog has 1; add"):
        read(root)


def test_unreadable_files_are_skipped_up_to_one_in_a_hundred(folder: Make, read: Ingest) -> None:
    root = folder(size=(8, 8), cat=150, dog=48)
    (root / "dog" / "broken.png").write_bytes((root / "dog" / "000.png").read_bytes()[:-30])
    (root / "dog" / "text.png").write_text("no picture")
    skipped = read(root).skipped
    assert skipped.keys() == {"dog/broken.png", "dog/text.png"}
    assert skipped["dog/text.png"] == "it is no picture"
    os.mkfifo(root / "dog" / "pipe.png")
    with pytest.raises(
        DataError, match=r"3 of 201 files .* cannot be used.*\n.*dog/broken.png: .*\n.*dog/pipe.png: it is no file"
    ):
        read(root)


def test_grey_pictures_have_one_channel_and_sizes_decide_the_side(folder: Make, read: Ingest) -> None:
    root = folder(size=(70, 50), a=10, b=10)
    assert read(root).side == 50
    for path in root.glob("*/*"):
        Image.open(path).convert("L").resize((12, 20)).save(path)
    assert (read(root).side, read(root).channels) == (32, 1)
    Image.new("LA", (2000, 2000)).save(root / "a" / "000.png")
    assert (read(root).side, read(root, side=128).side, read(root).channels) == (32, 128, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_pictures_are_decoded_leaves_nothing_behind(
    number: signal.Signals, folder: Make, read: Ingest, tmp_path: Path
) -> None:
    said: list[tuple[str, int, int]] = []

    def stop(title: str, done: int, total: int) -> None:
        said.append((title, done, total))
        if title == "decoding pictures":
            signal.raise_signal(number)

    of_the_tests = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
            read(folder(a=30, b=40), progress=stop)
    finally:
        signal.signal(number, of_the_tests)
    assert said == [
        ("looking at pictures", 32, 70), ("looking at pictures", 64, 70), ("looking at pictures", 70, 70),
        ("decoding pictures", 32, 70), ("", 0, 0),
    ]  # fmt: skip
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_start_left_goes_with_the_next(folder: Make, read: Ingest, tmp_path: Path) -> None:
    (tmp_path / "cache" / ".unpacking-dead").mkdir(parents=True)
    kept = read(folder(a=10, b=10), side=32).folder
    assert list((tmp_path / "cache").iterdir()) == [kept]


def commands(place: Path, runs: Path) -> list[tuple[object, ...]]:
    common = ("--data", place, "--device", "cpu")
    return [
        ("run", *common, "--runs", runs),
        ("run", "--dry-run", *common, "--runs", runs),
        ("baseline", "seed000", *common, "--runs", runs),
        ("bench", *common),
    ]


@pytest.mark.parametrize("command", range(4))
def test_every_command_says_how_far_it_is_and_ctrl_c_ends_it_in_order(
    command: int, folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(terminal, "QUIET", 0)
    monkeypatch.setattr(cache, "groups_of", interrupted)
    of_the_tests = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, output, errors = call(*commands(folder(a=30, b=40), tmp_path / "runs")[command])
    finally:
        signal.signal(signal.SIGINT, of_the_tests)
    assert (code, output, errors) == (130, "", "looking at pictures: 64 of 70\n")
    assert list((tmp_path / "cache" / "cifar-search" / "pictures").iterdir()) == []
    assert not (tmp_path / "runs").exists() or command == 2
