"""The data sets that are known by name: torchvision downloads, checks and reads them."""

import gzip
import os
import shutil
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from search.data.download import downloading
from search.errors import DataError, one_line
from search.files import cache_folder
from search.pictures.arrays import list_stacks
from search.pictures.listing import PictureList, Unlisted

IDX = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
IDX_FORMS = IDX, tuple(f"{name}.gz" for name in IDX)
STL = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin", "class_names.txt")
MOST_BYTES = 64_000_000  # of an idx file; the largest has 47 million


@dataclass(frozen=True)
class NamedSet:
    """A data set of torchvision."""

    loader: str  # the class of torchvision.datasets
    inner: str  # the folder in which it looks for the files
    forms: tuple[tuple[str, ...], ...]  # the files, in any of these forms
    parts: tuple[Any, Any] = (True, False)  # how it calls the images to train on, and those of the test


SETS = {
    "cifar100": NamedSet("CIFAR100", "cifar-100-python", (("train", "test", "meta"), ("cifar-100-python.tar.gz",))),
    "fashion-mnist": NamedSet("FashionMNIST", "FashionMNIST/raw", IDX_FORMS),
    "mnist": NamedSet("MNIST", "MNIST/raw", IDX_FORMS),
    "stl10": NamedSet("STL10", "stl10_binary", (STL, ("stl10_binary.tar.gz",)), parts=("train", "test")),
    "svhn": NamedSet("SVHN", "", (("train_32x32.mat", "test_32x32.mat"),), parts=("train", "test")),
}


def in_folder(folder: Path) -> list[str]:
    """The sets that a folder may be of."""
    return [name for name, known in SETS.items() if _files(known, folder)]


def find(name: str, folder: Path | None) -> Unlisted:
    """A set whose files lie in a folder; without one it is downloaded into the user's cache. Raises DataError."""
    known = SETS[name]
    files = _files(known, folder) if folder else ()
    if folder and not files:
        wanted = ", ".join(known.forms[-1])
        raise DataError(f"{folder} is not the folder of {name}, with {wanted}; --data {name} downloads them")
    return Unlisted(root=Path(f"{name}:{folder}"), files=files, read=partial(_read, name, files))


def _files(known: NamedSet, folder: Path) -> tuple[Path, ...]:
    """All files of one form of a set; none where there is none."""
    forms = product((folder, folder / known.inner), known.forms)
    paths = (tuple(below / file for file in form) for below, form in forms)
    return next((each for each in paths if all(map(os.path.isfile, each))), ())


def _read(name: str, files: tuple[Path, ...]) -> PictureList:
    """The images of these files, or of those in the cache. Raises DataError."""
    from torchvision import datasets  # takes seconds
    from torchvision.datasets.utils import check_integrity, extract_archive

    known, kept = SETS[name], cache_folder() / name
    loader = getattr(datasets, known.loader)
    try:
        with downloading(kept.parent) as fresh:  # for copies too: a loader may write where it reads
            root = kept if not files and kept.exists() else fresh
            inner = root / known.inner
            inner.mkdir(parents=True, exist_ok=True)
            for file in files:
                if file.name.endswith(".tar.gz"):
                    if check_integrity(file, loader.tgz_md5):
                        extract_archive(file, root)
                elif file.suffix == ".gz":  # distributions pack the same numbers again, with other MD5s
                    with gzip.open(file) as packed:
                        (inner / file.stem).write_bytes(packed.read(MOST_BYTES))
                else:
                    shutil.copyfile(file, inner / file.name)
            parts = [loader(root, part, download=not files) for part in known.parts]
            if root is fresh and not files:
                fresh.rename(kept)
    except Exception as error:  # whatever a loader makes of broken or hostile bytes
        told = one_line(error) if isinstance(error, OSError) or not files else "it is truncated or altered"
        step = f"fetch {', '.join(known.forms[-1])} by hand, and name the folder: --data {name}:FOLDER"
        raise DataError(f"{name} cannot be read ({told}); {step}") from error
    stacks = [
        (title, np.asarray(part.data), np.asarray(part.targets if hasattr(part, "targets") else part.labels))
        for title, part in zip(("train", "test"), parts, strict=True)
    ]
    return list_stacks(Path(name), stacks, classes=getattr(parts[0], "classes", None))
