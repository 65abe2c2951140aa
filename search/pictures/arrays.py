"""Lists the pictures that lie in arrays, such as those of an .npz file."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search.container import Container
from search.errors import DataError, one_line
from search.pictures.listing import MOST_NAMED, PART_NAMES, PictureList, part_of
from search.text import some

CHANNELS = (1, 3, 4)  # grey; red, green and blue; with transparency
MOST_MEMORY = 0.5  # of this machine's, for the arrays of a file

Array = npt.NDArray[Any]
Stack = tuple[str, Array, Array]  # the name, which may be that of a part, the pixels and the labels of some pictures


def list_npz(path: Path) -> PictureList:
    """An .npz of `x_train` and `y_train`, perhaps `x_val`, `x_test`, as Keras has them; or of `images` and `labels`.

    Beside them may lie the names of the labels, `classes`, and the part of each of the `images`, `parts`.
    Raises DataError.
    """
    arrays = _read(path)
    known = {"images": "labels"} if "images" in arrays else {f"x_{name}": f"y_{name}" for name in PART_NAMES}
    pairs = {pixels: labels for pixels, labels in known.items() if pixels in arrays}
    if not pairs or not arrays.keys() >= {*pairs.values()}:
        rule = "x_train and y_train, perhaps x_test and y_test, or images and labels"
        raise DataError(f"{path} holds {some(sorted(arrays), MOST_NAMED) or 'no array'}; it must hold {rule}")
    stacks = [(pixels.removeprefix("x_"), arrays[pixels], arrays[labels]) for pixels, labels in pairs.items()]
    listing = list_stacks(path, stacks, classes=arrays.get("classes"))
    if "images" not in arrays or (parts := arrays.get("parts")) is None:
        return listing
    if parts.dtype.kind != "U" or parts.shape != (len(listing.files),):
        raise DataError(f"{path}: parts must be a text for each of its {len(listing.files):,} images, {_but(parts)}")
    return replace(listing, parts=tuple(part_of(text or "''", f"{path}: parts") for text in parts.tolist()))


def list_stacks(root: Path, stacks: Sequence[Stack], *, classes: Any) -> PictureList:
    """The pictures of all stacks; `classes` are the names of the labels 0, 1, 2, ..., or None. Raises DataError."""
    pictures = [_pictures(pixels, place=f"{root}: {name}") for name, pixels, _ in stacks]
    numbers = np.concatenate([_labels(labels, name, root=root, of=len(pixels)) for name, pixels, labels in stacks])
    if classes is None:
        names, numbers = np.unique(numbers, return_inverse=True)
    else:
        names = np.asarray(classes)
        if names.dtype.kind != "U" or names.ndim != 1 or not np.isin(numbers, np.arange(names.size)).all():
            raise DataError(f"{root}: classes must be names, one for each of the labels 0, 1, 2, ..., {_but(names)}")
    return PictureList(
        root=root,
        classes=tuple(map(str, names)),
        files=tuple(f"{name}[{index}]" for name, pixels, _ in stacks for index in range(len(pixels))),
        labels=tuple(numbers.tolist()),
        parts=tuple(PART_NAMES.get(name) for name, pixels, _ in stacks for _ in pixels),
        skipped={},
        pictures=[*chain.from_iterable(pictures)],
    )


def _pictures(pixels: Array, *, place: str) -> list[Array]:
    """Each picture as Pillow takes it: [H, W] or [H, W, C]."""
    planes = pixels.ndim == 4 and pixels.shape[1] in CHANNELS[:2] and pixels.shape[3] not in CHANNELS
    seen = pixels.transpose(0, 2, 3, 1) if planes else pixels
    if seen.dtype != np.uint8 or seen.ndim not in (3, 4) or 0 in seen.shape or not {*seen.shape[3:]} <= {*CHANNELS}:
        rule = "must be uint8 [N, H, W], [N, H, W, C] or [N, C, H, W], with 1, 3 or 4 channels and values from 0 to 255"
        raise DataError(f"{place} {rule}, {_but(pixels)}")
    return list(seen[..., 0] if seen.shape[3:] == (1,) else seen)


def _labels(labels: Array, name: str, *, root: Path, of: int) -> Array:
    """Numbers or names [N]."""
    flat = labels[:, 0] if labels.shape == (of, 1) else labels
    if flat.shape != (of,) or flat.dtype.kind not in "iuU":
        raise DataError(f"{root}: the labels of {name} must be {of:,} integers or names, one a picture, {_but(labels)}")
    return flat if flat.dtype.kind == "U" else flat.astype(np.int64)


def _but(array: Array) -> str:
    return f"not {array.dtype} {list(array.shape)}"


def _read(path: Path) -> dict[str, Array]:
    """Its arrays, if their memory is at hand; none of Python objects, which may be code. Raises DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            taken, most = sum(each.file_size for each in archive.infolist()), MOST_MEMORY * Container().most_memory()
        if taken <= most:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
    except Exception as error:  # whatever broken or hostile bytes cause
        reason = one_line(error, most=200)
        raise DataError(f"{path} cannot be read as .npz ({reason}); write it with numpy.savez") from error
    rule = f"of which a file of arrays may take {most / 1e9:,.1f} here"
    raise DataError(f"{path} takes {taken / 1e9:,.1f} GB of memory, {rule}; save its pictures as files, in a folder")
