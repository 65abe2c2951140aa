"""Says what lies in a place that was given for CIFAR-10 and holds none."""

import os
import shlex
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from search.text import plural

MOST = 1000  # folders that are looked into: somebody may have named a whole disk
SHOWN = 3  # names in a sentence
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")

# What is taken for CIFAR-10, by the names of its archive, of the folder in that, and of files that lie there together.
OTHERS = {
    "CIFAR-100": ("cifar-100-python.tar.gz", "cifar-100-python", {"train", "test", "meta"}),
    "the binary version of CIFAR-10": ("cifar-10-binary.tar.gz", "cifar-10-batches-bin", {"data_batch_1.bin"}),
    "the MATLAB version of CIFAR-10": ("cifar-10-matlab.tar.gz", "cifar-10-batches-mat", {"data_batch_1.mat"}),
}
ONLY = (
    "and only the Python version of CIFAR-10 can be read; name an empty folder to download it into, or one that holds "
    "it, by --data DIR or CIFAR_SEARCH_DATA"
)


def describe(place: Path, *, wanted: Collection[str]) -> str:
    """What lies in a folder or what a file is, and the next step; `wanted` are CIFAR-10's own files."""
    if not place.is_dir():
        if place.name in wanted:
            return f"{place} is a file of CIFAR-10, and its folder is wanted: --data {shlex.quote(str(place.parent))}"
        return f"{place} is {_other(place, ()) or 'a file that is no CIFAR-10'}, {ONLY}"
    folders = list(_folders(place))
    for folder, names in folders:
        if not {*wanted}.isdisjoint(names):
            return f"{place} holds CIFAR-10 further down: --data {shlex.quote(str(folder))}"
    for folder, names in folders:
        if other := _other(folder, names):
            return f"{folder} holds {other}, {ONLY}"
    pictured = [folder for folder, names in folders if any(name.lower().endswith(PICTURES) for name in names)]
    if classes := sorted({folder.name for folder in pictured if folder != place}):
        return f"{place} holds {plural(len(classes), 'folder')} of images ({_some(classes)}), {ONLY}"
    return f"{place} holds {'images' if pictured else _some(folders[0][1])}, {ONLY}"


def _folders(place: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folder and those in it, with the names of what they hold, the nearest first."""
    waiting = deque([place])
    for _ in range(MOST):
        if not waiting:
            return
        folder = waiting.popleft()
        with suppress(OSError):  # another user's
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            waiting.extend(folder / entry.name for entry in entries if entry.is_dir())
            yield folder, [entry.name for entry in entries]


def _other(place: Path, names: Sequence[str]) -> str | None:
    """The data set that a folder with these names, or a file, belongs to."""
    known = {place.name, *names}
    fits = (title for title, (archive, folder, files) in OTHERS.items() if {archive, folder} & known or files <= known)
    return next(fits, None)


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
