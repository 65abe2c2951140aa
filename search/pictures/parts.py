"""Keeps a share of the images apart, some of every class, and never two equal images on both sides."""

import numpy as np
import numpy.typing as npt

from search.errors import DataError
from search.text import plural, some

Index = npt.NDArray[np.int64]

FEWEST = 10  # images of a class: one in ten validates, two in ten test


def held_out(labels: Index, *, groups: Index, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which of N images are kept apart: of each class about this share of its groups, at least one and never all.

    A group, such as copies of one picture, stays together and belongs where the first of its images does.
    """
    first, members = np.unique(groups, return_inverse=True)
    # Raw draws: NumPy keeps their stream in every release, but not that of Generator.permutation (NEP 19).
    order = np.argsort(np.random.PCG64(seed).random_raw(len(first)), kind="stable")
    leaders = different(labels, groups=groups)
    apart = np.zeros(len(first), dtype=np.bool_)
    for label in np.unique(leaders):
        mine = order[leaders[order] == label]
        apart[mine[: min(max(1, round(share * len(mine))), len(mine) - 1)]] = True
    kept: npt.NDArray[np.bool_] = apart[members]
    return kept


def different(labels: Index, *, groups: Index) -> Index:
    """The label of each group, which is that of its first image."""
    return labels[np.unique(groups, return_index=True)[1]]


def check_enough(
    labels: Index, *, classes: tuple[str, ...], place: str, fewest: int = FEWEST, to: str = "be divided"
) -> None:
    """Raises DataError for a class that has too few images for this."""
    counts = np.bincount(labels, minlength=len(classes))
    if few := [f"{name} has {count}" for name, count in zip(classes, counts, strict=True) if count < fewest]:
        raise DataError(
            f"{place}: a class needs {plural(fewest, 'picture')} to {to}, and {some(few, FEWEST)}; "
            "add pictures, or remove the class"
        )


def groups_of(digests: list[bytes]) -> Index:
    """The group of each image, which is the index of the first with the same digest."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(digest, index) for index, digest in enumerate(digests)], dtype=np.int64)
