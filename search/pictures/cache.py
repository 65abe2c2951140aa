"""Decodes the pictures of a listing once, into files that every process maps into its memory."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.lib.format import open_memmap

from search.container import Container
from search.errors import DataError
from search.files import fresh_folder
from search.pictures import Progress
from search.pictures.decode import Header, Picture, PictureError, Pixels, decode, header
from search.pictures.listing import MOST_NAMED, PictureList, Unlisted
from search.pictures.parts import Index, check_enough, different, groups_of, held_out

FORMAT = 2  # of the files here
CHUNK = 32  # pictures that a thread works on at a time; a stop waits for them
MOST_SKIPPED = 0.01  # of the files
SIDES = (32, 128)  # pixels; the smallest and the largest that is chosen where nobody names one
TEST_SHARE, TEST_SEED = 0.2, 0  # of a source without a test part: the same images whatever the study's seed is


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
    kinds: dict[str, int]  # how many files there are of each type, mode and short side

    def pixels(self, part: str) -> Pixels:
        """Of `training` or `test`, uint8 [N, side, side, channels], mapped into memory when they are looked at."""
        return np.asarray(np.load(self.folder / f"{part}.npy", mmap_mode="c"))  # "r" would let torch warn

    def column(self, part: str, name: str) -> Index:
        """`labels`, `groups` or `files` (their index in the listing) of a part, or `validation`; int64 [N]."""
        with np.load(self.folder / f"{part}.npz") as file:
            return np.asarray(file[name])

    def names(self, part: str) -> list[str]:
        """The file of each image of a part, relative to the source."""
        return [os.fsdecode(name) for name in self.column(part, "names").tolist()]


def ingest(
    source: PictureList | Unlisted,
    *,
    cache: Path,
    side: int | None = None,
    most_side: int = SIDES[1],
    progress: Progress | None = None,
) -> Ingested:
    """The pictures of a source, decoded now or earlier. Raises DataError.

    Without a `side` the median short side of the pictures decides, from 32 pixels to `most_side`.
    """
    key = _key(source)
    asked = cache / f"{key}-{side or f'most-{most_side}'}"
    if (found := read(asked)) is not None:
        return found
    listing = source.read() if isinstance(source, Unlisted) else source
    with fresh_folder(cache) as fresh, closing(_Files(listing, progress)) as files:
        heads = files.headers()
        side = side or int(min(max(median(head.short_side for head in heads), SIDES[0]), most_side))
        channels = 1 if all(head.grey for head in heads) else 3
        folder = cache / f"{key}-{side}"
        if read(folder) is None:
            about = {"skipped": files.skipped, "kinds": dict(Counter(head.kind for head in heads).most_common())}
            _write(fresh, *files.decoded(fresh, side=side, channels=channels), listing=listing, about=about)
            if folder.exists():  # its bytes are not what it says
                shutil.rmtree(folder)
            fresh.rename(folder)
        if asked != folder:  # whoever asks for this side, as a decision does, finds the same
            asked.unlink(missing_ok=True)
            asked.symlink_to(folder.name)
    found = read(asked)
    assert found is not None
    return found


class _Files:
    """The pictures of a listing while they are read; what cannot be read is counted."""

    def __init__(self, listing: PictureList, progress: Progress | None) -> None:
        self.listing, self.progress = listing, progress or (lambda *_: None)
        self.skipped = dict(listing.skipped)
        self.left = np.ones(len(listing.files), dtype=np.bool_)
        self.pool = ThreadPoolExecutor(Container().cores()[0])  # Pillow decodes without Python's lock

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.progress("", 0, 0)

    def headers(self) -> list[Header]:
        found = self._each("looking at pictures", lambda _, picture: header(picture))
        return [head for head in found if head is not None]

    def decoded(self, folder: Path, *, side: int, channels: int) -> tuple[Pixels, Index, Index]:
        """The pixels of all readable files, their group each, and their index in the listing."""
        count = len(self.listing.files)
        pixels = open_memmap(folder / "all.npy", mode="w+", dtype=np.uint8, shape=(count, side, side, channels))

        def work(index: int, picture: Picture) -> bytes:
            pixels[index] = decoded = decode(picture, side=side, channels=channels)
            return hashlib.blake2b(decoded.tobytes(), digest_size=16).digest()

        digests = [digest for digest in self._each("decoding pictures", work) if digest is not None]
        return pixels, groups_of(digests), np.flatnonzero(self.left)

    def _each(self, title: str, work: Callable[[int, Picture], Any]) -> list[Any]:
        """What `work` makes of each picture that is left; None where it cannot be read. Raises DataError."""
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

    def _one(self, index: int, work: Callable[[int, Picture], Any]) -> Any:
        try:
            return work(index, self.listing.picture(index))
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
    folder: Path, pixels: Pixels, groups: Index, files: Index, *, listing: PictureList, about: dict[str, Any]
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
        names = np.array([os.fsencode(listing.files[index]) for index in files[rows]])
        np.savez(folder / f"{part}.npz", allow_pickle=False, names=names, **columns)
        digest.update(columns["labels"].data)
    about |= {
        "format": FORMAT,
        "classes": listing.classes,
        "side": pixels.shape[1],
        "channels": pixels.shape[3],
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
    except (OSError, ValueError, KeyError, TypeError, BadZipFile):
        return None
    return found if digest.hexdigest() == sha256 else None


def _key(source: PictureList | Unlisted) -> str:
    """Of the files as they are now: another one where any was changed."""
    digest = hashlib.sha256(repr((FORMAT, os.fsencode(source.root.absolute()))).encode())
    rows: Iterable[tuple[str | Path, int, str | None]] = ((file, 0, None) for file in source.files)
    if isinstance(source, PictureList):
        rows = zip(source.files, source.labels, source.parts, strict=True)
        digest.update(repr((source.classes, sorted(source.skipped))).encode(errors="surrogateescape"))
    for file, label, part in rows:
        try:
            status = os.stat(source.root / file)  # noqa: PTH116 - there may be millions
        except OSError:
            continue  # it is named when it is read
        digest.update(repr((os.fsencode(file), label, part, status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()[:32]
