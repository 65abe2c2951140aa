"""The page of a data set: its numbers, some of its images, and what is wrong with them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search.augmentation.batch import Augmentation
from search.candidate import Recipe
from search.data.images import Images
from search.files import write_whole
from search.inspecting.explore import Exploration
from search.pictures.decode import Pixels
from search.reporting.html import render, thumbnail
from search.text import percent

THUMBNAIL = 48  # pixels; with the next numbers a page stays under 1.5 MB
MOST_CLASSES, MOST_SAMPLES, MOST_OF_CLASS = 20, 80, 8  # of which samples are shown
MOST_PAIRS, MOST_FILES = 12, 100
TINTS = {1: {"grey": (1, 1, 1)}, 3: {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}}  # of the channels
CROP = 8  # pixels, of which the values are written out
COPIES = 32  # of an image, each augmented
# Each augmentation of a recipe by itself, strong enough to be seen.
AUGMENTATIONS: tuple[dict[str, Any], ...] = (
    {"flip": "random"}, {"translate": 4}, {"rotation": 20.0}, {"scale": 0.3}, {"shear": 20.0}, {"brightness": 0.5},
    {"contrast": 0.5}, {"saturation": 0.8}, {"hue": 0.2}, {"policy": "randaugment"}, {"policy": "trivialaugment"},
    {"cutout": 12}, {"mixup": 1.0}, {"cutmix": 1.0},
)  # fmt: skip


def write_page(found: Exploration, path: Path) -> None:
    """Write the page. Raises OSError."""
    write_whole(path, page(found).encode())


def page(found: Exploration) -> str:
    """The page as HTML. Of the test images it shows only those that are among the training images too."""
    training = found.images["training"]
    return render(
        "explore.html",
        title=found.title,
        found=found,
        samples=[*_samples(training)],
        channels=[*_channels(training.pixels[0].numpy())],
        augmented=[*_augmented(training, fill=torch.tensor(found.mean))],
        picture=lambda pixels: thumbnail(np.asarray(pixels), side=THUMBNAIL),
        pairs={part: _spread(pairs, MOST_PAIRS) for part, pairs in found.duplicates.items()},
        errors=(found.label_errors or ())[:MOST_PAIRS],
        skipped=sorted(found.skipped.items())[:MOST_FILES],
        percent=percent,
    )


def _spread(rows: Sequence[Any], most: int) -> list[Any]:
    """So many of them, from the first to the last."""
    return [rows[place] for place in np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]


def _samples(images: Images) -> Iterator[tuple[str, Tensor]]:
    """Some images of each class that is shown."""
    shown = _spread(range(len(images.classes)), MOST_CLASSES)
    for label in shown:
        members = torch.nonzero(images.labels == label).flatten().tolist()
        yield images.classes[label], images.pixels[_spread(members, min(MOST_OF_CLASS, MOST_SAMPLES // len(shown)))]


def _channels(pixels: Pixels) -> Iterator[tuple[str, Pixels, list[list[tuple[int, Any]]]]]:
    """Of each channel its name, the whole picture in its colour, and the values of its middle, each with its colour."""
    start = (len(pixels) - CROP) // 2
    middle = slice(start, start + CROP), slice(start, start + CROP)
    for plane, (name, tint) in zip(np.moveaxis(pixels, 2, 0), TINTS[pixels.shape[2]].items(), strict=True):
        tinted = plane[..., None] * np.array(tint, np.uint8)
        rows = zip(plane[middle].tolist(), tinted[middle].tolist(), strict=True)
        yield name, tinted, [[*zip(*row, strict=True)] for row in rows]


def _augmented(images: Images, *, fill: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The first image after each augmentation, with its name and strength."""
    two = images.take(torch.tensor([0, len(images) // 2]))
    index = torch.tensor([0, 1] * COPIES)  # each copy has the other image as its neighbour, with which it may be mixed
    for change in AUGMENTATIONS:
        augmentation = Augmentation(Recipe(**{"flip": "none", "translate": 0, **change}), two, fill=fill, seed=0)
        copies = augmentation.batch(index, epoch=0, generator=torch.Generator().manual_seed(0))[0][::2].float()
        order = (copies - two.pixels[0]).abs().mean((1, 2, 3)).argsort()
        ((name, value),) = change.items()
        # Not the most changed one, which may be black.
        yield f"{name} {value}", copies[order[3 * COPIES // 4]].round().to(torch.uint8)
