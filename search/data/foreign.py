"""Says what lies in a place that was given for CIFAR-10 and holds none."""

import os
import shlex
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from search.data.named import SETS
from search.pictures.listing import SUFFIXES
from search.text import some

MOST = 1000  # folders that are looked into: somebody may have named a whole disk
SHOWN = 3  # names in a sentence
# Other versions of CIFAR-10, by the names of their archive, of the folder in that, and of a file.
OTHERS = {
    "binary": {"cifar-10-binary.tar.gz", "cifar-10-batches-bin", "data_batch_1.bin"},
    "MATLAB": {"cifar-10-matlab.tar.gz", "cifar-10-batches-mat", "data_batch_1.mat"},
}
STEP = (
    "name CIFAR-10's Python version, an empty folder to download it into, or pictures (a folder for each class, a CSV, "
    "an .npz) by --data or CIFAR_SEARCH_DATA"
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
        known = [name for name, each in SETS.items() if any({*form} <= names for form in each.forms)]
        if known:
            return f"{folder} holds {' or '.join(known)}; read it with --data {shlex.quote(f'{known[0]}:{folder}')}"
        for title, signs in OTHERS.items():
            if signs & {folder.name, *names}:
                return f"{folder} holds the {title} version of CIFAR-10, which cannot be read; {STEP}"
    if not walked:
        return f"{place} is no folder that can be read; {STEP}"
    found = sorted(name for _, _, files in walked for name in files if not name.startswith("."))
    pictured = any(name.lower().endswith(SUFFIXES) for name in found)
    holds = "pictures, but no folder of them for each class" if pictured else f"{some(found, SHOWN)}, but no data"
    return f"{place} holds {holds}; {STEP}" if found else None
