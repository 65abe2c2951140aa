"""Which images train and which validate: a seeded, stratified split that can be saved."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from search.errors import DataError
from search.files import LFS_POINTER, write_whole
from search.pictures.parts import held_out

if TYPE_CHECKING:  # torch takes seconds to import, and a split can be read without
    from torch import Tensor

    from search.data.images import Images

Index = npt.NDArray[np.int64]

VALIDATION_SHARE = 10  # one training image in so many is kept for validation: 5,000 of 50,000


@dataclass(frozen=True, eq=False)
class Split:
    """Every image in exactly one part, each part sorted. Equal splits have equal fingerprints."""

    training: Index
    validation: Index
    seed: int

    def __post_init__(self) -> None:
        for part, index in (("training", self.training), ("validation", self.validation)):
            if index.dtype != np.int64 or index.ndim != 1 or len(index) == 0:
                raise DataError(f"the {part} part must be int64 [n] with n > 0, not {index.dtype} {list(index.shape)}")
            if (np.diff(index) < 0).any():
                raise DataError(f"the {part} part must be sorted")
        named, times = np.unique(np.concatenate([self.training, self.validation]), return_counts=True)
        wrong = named[(times > 1) | (named < 0) | (named >= len(self))]
        if len(wrong):
            rule = f"a split of {len(self)} images must name each of 0..{len(self) - 1} once"
            raise DataError(f"{rule}, and {wrong[0]} is not one of them or is named twice")

    def __len__(self) -> int:
        return len(self.training) + len(self.validation)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of both index arrays, in hex."""
        parts = (index.astype("<i8").tobytes() for index in (self.training, self.validation))
        return hashlib.sha256(len(self.training).to_bytes(8, "little") + b"".join(parts)).hexdigest()

    def save(self, path: Path) -> None:
        """Write an npz file, whole or not at all."""
        np.savez(file := io.BytesIO(), training=self.training, validation=self.validation, seed=np.int64(self.seed))
        write_whole(path, file.getvalue())


def load(path: Path) -> Split:
    """The split that `Split.save` wrote. Raises DataError."""
    try:
        content = path.read_bytes()
        if content.startswith(LFS_POINTER):
            raise DataError("it is a pointer of Git LFS, and `git lfs pull` fetches the file")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return Split(file["training"], file["validation"], int(file["seed"]))
    except FileNotFoundError:
        problem = "is missing"
    except (DataError, OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        cause = f"{type(error).__name__}: {error}"
        if "pickle" in cause:  # NumPy says so of any other file too, and advises to trust it
            cause = "it is no npz file of plain numbers"
        problem = f"is not a saved split ({cause})"
    raise DataError(f"{path} {problem}; restore it, or start a new study")


def stratified(labels: Tensor, *, validation: int, seed: int) -> Split:
    """Split images with these labels [N]: `validation` of them validate, equally many of every class."""
    counts = np.unique(labels.numpy(), return_counts=True)[1]
    classes, smallest = len(counts), int(counts.min())
    share, rest = divmod(validation, classes)
    if rest or not 0 < share < smallest:
        raise DataError(
            f"{validation} validation images are no equal share of {classes} classes, the smallest with {smallest}; "
            f"choose a multiple of {classes} up to {classes * (smallest - 1)}"
        )
    order = balanced(labels, seed=seed)
    return Split(np.sort(order[validation:]), np.sort(order[:validation]), seed)


def standard_split(images: Images, *, seed: int) -> Split:
    """The split of every study: one training image in VALIDATION_SHARE validates, or what the source says.

    Classes of unequal size are kept apart each by itself, and copies of one image stay together.
    """
    if images.groups is None:
        return stratified(images.labels, validation=len(images) // VALIDATION_SHARE, seed=seed)
    if images.validation is not None:
        apart = np.isin(np.arange(len(images)), images.validation.numpy())
    else:
        labels, groups = images.labels.numpy(), images.groups.numpy()
        apart = held_out(labels, groups=groups, share=1 / VALIDATION_SHARE, seed=seed)
    return Split(np.flatnonzero(~apart), np.flatnonzero(apart), seed)


def balanced(labels: Tensor, *, seed: int, shares: bool = False) -> Index:
    """All images [N] in a random order; the first n of them, for any n, hold each class equally often, within one.

    With `shares` they hold each at least once, where n suffices, and then in its share of all.
    """
    # Raw draws: NumPy keeps their stream in every release, but not that of Generator.permutation (NEP 19).
    shuffled = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    classes = labels.numpy()[shuffled]
    rank = np.empty(len(shuffled))  # of each image within its class
    for name in np.unique(classes):
        members = classes == name
        rank[members] = np.arange(members.sum()) / (members.sum() if shares else 1)
    return shuffled[np.argsort(rank, kind="stable")].astype(np.int64)
