"""The page of a data set: its numbers, some of its images, and what is wrong with them."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from search.files import write_whole
from search.inspecting.explore import Exploration
from search.pictures.decode import Pixels
from search.reporting.html import render, thumbnail
from search.text import percent, plural

THUMBNAIL = 48  # pixels; with the numbers below the page stays under 1.5 MB
MOST_CLASSES, MOST_SAMPLES = 20, 100  # of which samples are shown
MOST_OF_CLASS, MOST_PAIRS, MOST_ERRORS, MOST_FILES = 8, 12, 12, 100
CROP = 8  # pixels, of which the values are written out
TINTS = {1: {"grey": (1, 1, 1)}, 3: {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}}


def write_page(found: Exploration, path: Path) -> None:
    """Write the page of what was found. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page(found).encode())


def page(found: Exploration) -> str:
    """The page as HTML. Of the test images it shows only those that are in the training images too."""
    return render(
        "explore.html",
        title=found.title,
        found=found,
        samples=[*_samples(found)],
        channels=[*_channels(found.training.pixels[0].numpy())],
        picture=partial(thumbnail, side=THUMBNAIL),
        spread=spread,
        limits={"errors": MOST_ERRORS, "files": MOST_FILES, "pairs": MOST_PAIRS},
        percent=percent,
        plural=plural,
    )


def spread(rows: Sequence[Any], most: int) -> list[Any]:
    """So many of them, from the first to the last."""
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
    return [rows[place] for place in places]


def _samples(found: Exploration) -> Iterator[tuple[str, list[Pixels]]]:
    """Some images of each class that is shown."""
    labels, names = found.training.labels.numpy(), found.training.classes
    shown = spread(range(len(names)), MOST_CLASSES)
    for label in shown:
        members = spread(np.flatnonzero(labels == label).tolist(), min(MOST_OF_CLASS, MOST_SAMPLES // len(shown)))
        yield names[label], [found.training.pixels[index].numpy() for index in members]


def _channels(pixels: Pixels) -> Iterator[tuple[str, Pixels, list[list[tuple[int, str]]]]]:
    """Each channel in its colour: its name, the whole picture, and the values of its middle with their colours."""
    start = (len(pixels) - CROP) // 2
    for (name, tint), plane in zip(TINTS[pixels.shape[2]].items(), np.moveaxis(pixels, 2, 0), strict=True):
        middle = plane[start : start + CROP, start : start + CROP].tolist()
        rows = [[(value, "rgb({},{},{})".format(*(value * each for each in tint))) for value in row] for row in middle]
        yield name, (plane[..., None] * np.array(tint)).astype(np.uint8), rows
