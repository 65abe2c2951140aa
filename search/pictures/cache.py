"""Decodes the pictures of a listing once, into files that every process maps into its memory."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from search.container import Container
from search.errors import DataError
from search.pictures.decode import Header, PictureError, Pixels, decode, header
from search.pictures.listing import MOST_NAMED, PictureList
from search.pictures.parts import Index, check_enough, different, groups_of, held_out

FORMAT = 1  # of the files here
CHUNK = 256  # pictures that a thread works on at a time
MOST_SKIPPED = 0.01  # of the files
SIDES = (32, 128)  # pixels; the smallest and the largest that is chosen where nobody names one
TEST_SHARE, TEST_SEED = 0.2, 0  # of a source without a test part: the same images whatever the study's seed is

Progress = Callable[[str, int, int], object]
"""Is told what is done, how many pictures of it, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """The pictures of a source as arrays on the disk."""

    folder: Path
    side: int  # pixels
    channels: int
    classes: tuple[str, ...]
    skipped: dict[str, str]  # relative path to the reason
    test_made: bool  # the source names no test part: one was split off
    validation_given: bool  # the source names a validation part

    def pixels(self, part: str) -> Pixels:
        """Of `training` or `test`, uint8 [N, side, side, channels], mapped into memory when they are looked at."""
        return np.asarray(np.load(self.folder / f"{part}.npy", mmap_mode="c"))  # "r" would let torch warn

    def column(self, part: str, name: str) -> Index:
        """`labels`, `groups` or `files` (their index in the listing) of a part, or `validation`; int64 [N]."""
        with np.load(self.folder / f"{part}.npz") as file:
            return np.asarray(file[name])


def ingest(
    listing: PictureList,
    *,
    cache: Path,
    side: int | None = None,
    most_side: int = SIDES[1],
    progress: Progress | None = None,
) -> Ingested:
    """The pictures of a listing, decoded now or earlier. Raises DataError.

    Without a `side` the median short side of the pictures decides, from 32 pixels to `most_side`.
    """
    folder = cache / _key(listing, side, most_side)
    if (found := read(folder)) is not None:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix=".ingesting-") as name, closing(_Files(listing, progress)) as files:
        fresh = Path(name)
        heads = files.headers()
        side = side or int(min(max(median(head.short_side for head in heads), SIDES[0]), most_side))
        channels = 1 if all(head.grey for head in heads) else 3
        _write(fresh, *files.decoded(fresh, side=side, channels=channels), listing=listing, skipped=files.skipped)
        if folder.exists():  # its bytes are not what it says
            shutil.rmtree(folder)
        fresh.rename(folder)
        fresh.mkdir()  # for its own removal
    found = read(folder)
    assert found is not None
    return found


class _Files:
    """The files of a listing while they are read; what cannot be read is counted."""

    def __init__(self, listing: PictureList, progress: Progress | None) -> None:
        self.listing, self.progress = listing, progress or (lambda *_: None)
        self.skipped = dict(listing.skipped)
        self.left = np.ones(len(listing.files), dtype=np.bool_)
        self.pool = ThreadPoolExecutor(Container().cores()[0])  # Pillow decodes without Python's lock

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def headers(self) -> list[Header]:
        found = self._each("looking at pictures", lambda _, path: header(path))
        return [head for head in found if head is not None]

    def decoded(self, folder: Path, *, side: int, channels: int) -> tuple[Pixels, Index, Index]:
        """The pixels of all readable files, their group each, and their index in the listing."""
        count = len(self.listing.files)
        pixels = open_memmap(folder / "all.npy", mode="w+", dtype=np.uint8, shape=(count, side, side, channels))

        def work(index: int, path: Path) -> bytes:
            pixels[index] = picture = decode(path, side=side, channels=channels)
            return hashlib.blake2b(picture.tobytes(), digest_size=16).digest()

        digests = [digest for digest in self._each("decoding pictures", work) if digest is not None]
        return pixels, groups_of(digests), np.flatnonzero(self.left)

    def _each(self, title: str, work: Callable[[int, Path], Any]) -> list[Any]:
        """What `work` makes of each file that is left; None where it cannot be read. Raises DataError."""
        indices = np.flatnonzero(self.left).tolist()
        chunks = [indices[start : start + CHUNK] for start in range(0, len(indices), CHUNK)]
        answers: list[Any] = []
        for done in self.pool.map(lambda chunk: [self._one(index, work) for index in chunk], chunks):
            for index, answer in zip(indices[len(answers) :], done, strict=False):
                if isinstance(answer, PictureError):
                    self.left[index] = False
                    self.skipped[self.listing.files[index]] = str(answer)
            answers += done
            self._check_skipped()
            self.progress(title, len(answers), len(indices))
        return [None if isinstance(answer, PictureError) else answer for answer in answers]

    def _one(self, index: int, work: Callable[[int, Path], Any]) -> Any:
        try:
            return work(index, self.listing.root / self.listing.files[index])
        except PictureError as error:
            return error

    def _check_skipped(self) -> None:
        total = len(self.listing.files) + len(self.listing.skipped)
        if len(self.skipped) > max(1, MOST_SKIPPED * total):
            lines = [f"{path}: {reason}" for path, reason in sorted(self.skipped.items())[:MOST_NAMED]]
            raise DataError(
                f"{len(self.skipped)} of {total:,} files in {self.listing.root} cannot be used, and "
                f"{100 * MOST_SKIPPED:g} % may be; mend or remove them:\n  " + "\n  ".join(lines)
            )


def _write(
    folder: Path, pixels: Pixels, groups: Index, files: Index, *, listing: PictureList, skipped: dict[str, str]
) -> None:
    """Divide the images into the parts and write each. Raises DataError."""
    labels = np.array(listing.labels, dtype=np.int64)[files]
    named = np.array([part or "" for part in listing.parts])[files]
    enough = partial(check_enough, classes=listing.classes, place=str(listing.root))
    enough(labels)
    test, given = named == "test", named == "validation"
    if not test.any():
        test = held_out(labels, groups=groups, share=TEST_SHARE, seed=TEST_SEED) & ~given
    parts = (~test & ~given, 1 if given.any() else 2, "train and validate on"), (given, 1, "validate on")
    for mask, fewest, to in (*parts[: 1 + given.any()], (test, 1, "test on")):
        found = different(labels[mask], groups=groups[mask])
        enough(found, fewest=fewest, to=f"{to} (copies count once)")
    digest = hashlib.sha256()
    for part, mask in (("training", ~test), ("test", test)):
        rows = np.flatnonzero(mask)
        for block in _gather(folder / f"{part}.npy", pixels, files[rows]):
            digest.update(block.data)
        validation = np.flatnonzero(given[rows])
        columns = {"labels": labels[rows], "groups": groups[rows], "files": files[rows], "validation": validation}
        np.savez(folder / f"{part}.npz", allow_pickle=False, **columns)
        digest.update(columns["labels"].data)
    about = {
        "format": FORMAT,
        "classes": listing.classes,
        "side": pixels.shape[1],
        "channels": pixels.shape[3],
        "skipped": skipped,
        "test_made": not (named == "test").any(),
        "validation_given": bool(given.any()),
        "sha256": digest.hexdigest(),
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="ascii")
    (folder / "all.npy").unlink()


def _gather(path: Path, pixels: Pixels, rows: Index) -> Iterator[Pixels]:
    """Write the rows of an array, and give them."""
    file = open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(rows), *pixels.shape[1:]))
    for start in range(0, len(rows), CHUNK):
        block = pixels[rows[start : start + CHUNK]]
        file[start : start + CHUNK] = block
        yield block
    file.flush()


def read(folder: Path) -> Ingested | None:
    """What `ingest` wrote there, if it is whole."""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="ascii"))
        sha256 = about.pop("sha256")
        if about.pop("format") != FORMAT:
            return None
        found = Ingested(folder=folder, **{**about, "classes": tuple(about["classes"])})
        digest = hashlib.sha256()
        for part in ("training", "test"):
            digest.update(found.pixels(part).data)
            digest.update(found.column(part, "labels").data)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if digest.hexdigest() == sha256 else None


def _key(listing: PictureList, side: int | None, most_side: int) -> str:
    """Of the files as they are now: another one where any was changed."""
    digest = hashlib.sha256(repr((FORMAT, os.fsencode(listing.root.absolute()), side, most_side)).encode())
    rows: Sequence[tuple[str, int, str | None]] = list(zip(listing.files, listing.labels, listing.parts, strict=True))
    for file, label, part in rows:
        try:
            status = os.stat(listing.root / file)  # noqa: PTH116 - there may be millions
        except OSError:
            continue  # it is named when it is read
        digest.update(repr((os.fsencode(file), label, part, status.st_size, status.st_mtime_ns)).encode())
    digest.update(repr((listing.classes, sorted(listing.skipped))).encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]
