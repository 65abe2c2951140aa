"""A person's own pictures as a data set: what lies there, decoded once into the user's cache."""

from functools import partial
from pathlib import Path

import torch

from search.data import named
from search.data.images import Images
from search.errors import DataError
from search.files import cache_folder, home
from search.pictures import Progress
from search.pictures.arrays import list_npz
from search.pictures.cache import TEST_SEED, Ingested, ingest, read
from search.pictures.listing import MOST_NAMED, PictureList, Unlisted, holds_pictures, list_folder, list_table
from search.text import plural, some

Found = tuple[Path, str, tuple[str, ...]]  # the folder of the arrays, a title, and what the person should know


def find(place: str, *, side: int | None, most_side: int, progress: Progress | None = None) -> Found | None:
    """The pictures of a named set, a folder, a CSV or an .npz, decoded; None where there are none. Raises DataError."""
    path, (name, _, folder) = home(place), place.partition(":")
    suffix = path.suffix.lower() if path.is_file() else None
    source: PictureList | Unlisted
    if len(found_names := named.in_folder(path)) == 1:
        name, folder = found_names[0], place
    if name in named.SETS:
        source = named.find(name, home(folder) if folder else None)
    elif suffix == ".npz":
        source = Unlisted(root=path, files=(path,), read=partial(list_npz, path))
    elif suffix == ".csv":
        source = list_table(path)
    elif holds_pictures(path):
        source = list_folder(path)
    else:
        return None
    found = ingest(source, cache=cache_folder() / "pictures", side=side, most_side=most_side, progress=progress)
    training, test = len(found.column("training", "labels")), len(found.column("test", "labels"))
    classes = f"{len(found.classes)} classes at {found.side} pixels"
    title = f"{plural(training + test, 'picture')} in {place}, {classes}" + ", grey" * (found.channels == 1)
    notes = []
    if found.test_made:
        kept = f"{test:,} pictures of {training + test:,} are kept closed for it, by class, with seed {TEST_SEED}"
        notes.append(f"{place} names no test part: {kept}")
    if found.skipped:
        first = some([f"{name} ({reason})" for name, reason in sorted(found.skipped.items())], MOST_NAMED)
        notes.append(f"{plural(len(found.skipped), 'file')} cannot be used: {first}")
    return found.folder, title, tuple(notes)


def load_training(folder: Path) -> Images:
    """The training images. Raises DataError."""
    found = _read(folder)
    groups, validation = (torch.from_numpy(found.column("training", name)) for name in ("groups", "validation"))
    pixels, labels = _tensors(found, "training")
    return Images(pixels, labels, found.classes, groups, validation if found.validation_given else None)


def load_test(folder: Path) -> Images:
    """The test images. Raises DataError."""
    found = _read(folder)
    return Images(*_tensors(found, "test"), found.classes)


def _tensors(found: Ingested, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(found.pixels(part)), torch.from_numpy(found.column(part, "labels"))


def _read(folder: Path) -> Ingested:
    if (found := read(folder)) is None:
        raise DataError(f"the decoded pictures in {folder} are gone or were changed; start again to decode them")
    return found
