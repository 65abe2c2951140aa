"""Says what lies in a place that was given for CIFAR-10 and holds none."""

import os
import shlex
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from search.pictures.listing import SUFFIXES
from search.text import plural, some

MOST = 1000  # folders that are looked into: somebody may have named a whole disk
SHOWN = 3  # names in a sentence
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


def describe(place: Path, *, wanted: Collection[str]) -> str | None:
    """What a file is or a folder holds, and the next step; None where no file lies there, or a wanted one."""
    walked = sorted(islice(os.walk(place, followlinks=True), MOST), key=lambda folder: folder[0].count(os.sep))
    folders = {Path(path): {*names, *files} for path, names, files in walked} or {place.parent: {place.name}}
    for folder, names in folders.items():
        if not names.isdisjoint(wanted):
            further = f"{place} is not the folder of CIFAR-10, which lies in another: --data {shlex.quote(str(folder))}"
            return None if folder == place else further
    for folder, names in folders.items():
        for title, (archive, inner, files) in OTHERS.items():
            if {archive, inner} & {folder.name, *names} or files <= names:
                return f"{folder} holds {title}, {ONLY}"
    if not walked:
        return f"{place} is no folder that can be read, {ONLY}"
    pictured = [folder for folder, names in folders.items() if any(name.lower().endswith(SUFFIXES) for name in names)]
    if classes := sorted({folder.name for folder in pictured if folder != place}):
        return f"{place} holds {plural(len(classes), 'folder')} of images ({some(classes, SHOWN)}), {ONLY}"
    found = sorted(name for _, _, files in walked for name in files if not name.startswith("."))
    return f"{place} holds {'images' if pictured else some(found, SHOWN)}, {ONLY}" if found else None
