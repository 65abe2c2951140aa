"""Finds and reads the official CIFAR-10 files; nothing is unpickled before its MD5 is checked."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from search.data.download import ARCHIVE, ELSEWHERE, FOLDER, complete
from search.data.foreign import describe
from search.data.images import Images
from search.data.named import SETS
from search.errors import DataError
from search.files import LFS_POINTER, cache_folder, home, in_the_way

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# The MD5 of each file, as torchvision.datasets.CIFAR10 has it (a test compares them).
OFFICIAL = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


def find(folder: Path | None, *, download: bool = True) -> Path:
    """The folder of the six batch files: in `folder`, else in $CIFAR_SEARCH_DATA, else in the user's cache.

    Missing files are unpacked from the archive if it lies there, else downloaded, but only into the cache, an empty
    folder, or one that holds a part of them; a file that exists is never replaced. Raises DataError.
    """
    given = folder or os.environ.get("CIFAR_SEARCH_DATA")
    root = home(given) if given else cache_folder()
    source = "CIFAR_SEARCH_DATA: " if given and not folder else ""
    if given and not os.path.exists(root):  # noqa: PTH110 - Path.exists may raise
        what = in_the_way(root) or f"{root} is not a folder"
        raise DataError(f"{source}{what}; make it, or {ELSEWHERE}; names of other data: {', '.join(SETS)}")
    place = _batches(root)
    missing = [name for name in OFFICIAL if not os.path.isfile(place / name)]  # noqa: PTH113 - likewise
    nothing = len(missing) == len(OFFICIAL)
    if given and nothing and (foreign := describe(root, wanted=(*OFFICIAL, ARCHIVE))):
        raise DataError(source + foreign)
    if missing:
        problem = f"{root} holds no CIFAR-10" if nothing else f"{place} lacks {', '.join(missing)}"
        complete(root, place, missing, problem=problem, download=download)
    return place


def load_training(folder: Path) -> Images:
    """The 50,000 training images; the test batch is not opened. Raises DataError."""
    return _load(folder, [f"data_batch_{number}" for number in range(1, 6)])


def load_test(folder: Path) -> Images:
    """The 10,000 test images. Raises DataError."""
    return _load(folder, ["test_batch"])


def _batches(root: Path) -> Path:
    """The folder of the batch files: `root` itself, or the one that the archive makes in it."""
    direct = root.name == FOLDER or any(os.path.exists(root / name) for name in OFFICIAL)  # noqa: PTH110 - may raise
    return root if direct else root / FOLDER


def _load(folder: Path, names: Sequence[str]) -> Images:
    batches = [_read(_batches(folder) / name) for name in names]
    planes = torch.cat([torch.from_numpy(batch[b"data"]) for batch in batches]).view(-1, 3, 32, 32)
    labels = torch.cat([torch.tensor(batch[b"labels"]) for batch in batches])
    return Images(planes.permute(0, 2, 3, 1).contiguous(), labels, CLASSES)


def _read(path: Path) -> dict[bytes, Any]:
    """Pixels [n, 3072], plane by plane, and labels [n] of one batch, unpickled from the bytes whose MD5 was checked."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; start again to fetch it, or {ELSEWHERE}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); make it readable, or {ELSEWHERE}") from error
    if content.startswith(LFS_POINTER):
        raise DataError(f"{path} is a pointer of Git LFS, not the file; `git lfs pull` fetches it, or {ELSEWHERE}")
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != OFFICIAL[path.name]:
        raise DataError(
            f"{path} is truncated or altered: the MD5 of its {len(content):,} bytes is {md5} and must be "
            f"{OFFICIAL[path.name]}; delete it and start again to fetch it anew"
        )
    batch: dict[bytes, Any] = pickle.loads(content, encoding="bytes")  # noqa: S301 - published bytes only: it is code
    return batch
