"""The pictures of an explained trial: its first filters, an image, and what the layers make of that."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes

from search.reporting.pictures import _literal as literal
from search.reporting.pictures import _new_figure as new_figure
from search.reporting.pictures import _save as save

Pixels = npt.NDArray[np.float64]

MOST_FILTERS = 64  # more would be too small to see
MOST_CHANNELS = 16
COLUMNS = 4  # of them
TILE = 60  # pixels of a tile's longer side, at least
GREY = 0.5  # of a filter, where its weight is 0
MAP = colormaps["viridis"].with_extremes(bad="white")


def filters_png(weights: npt.NDArray[Any], path: Path, *, title: str) -> Path:
    """Filters [N, 3, h, w] as colours: each on a scale of its own, on which 0 is grey."""
    shown = weights[:MOST_FILTERS].astype(np.float64)
    largest = np.maximum(np.abs(shown).max(axis=(1, 2, 3), keepdims=True), np.finfo(np.float64).tiny)
    tiles = (GREY + GREY * shown / largest).transpose(0, 2, 3, 1)
    columns = min(8, len(tiles))
    figure = new_figure(max(4.5, 0.8 * columns), 0.8 * math.ceil(len(tiles) / columns) + 0.6)
    more = f", the first {len(tiles)} of them" if len(weights) > len(tiles) else ""
    _tiled(figure.subplots(), tiles, columns=columns)
    figure.suptitle(f"{literal(title)}{more}\ngrey is 0; each filter has its own scale", fontsize=9)
    return save(figure, path)


def image_png(pixels: npt.NDArray[np.uint8], path: Path, *, title: str) -> Path:
    """One image [H, W, 3], upright."""
    figure = new_figure(3, 3.3)
    _image(figure.subplots(), pixels, title=title)
    return save(figure, path)


def maps_png(pixels: npt.NDArray[np.uint8], maps: dict[str, npt.NDArray[Any]], path: Path, *, title: str) -> Path:
    """An image [H, W, 3] beside the first channels of what layers make of it, each [C, h, w] by its title."""
    rows = math.ceil(min(MOST_CHANNELS, max(map(len, maps.values()))) / COLUMNS)
    figure = new_figure(2.4 + COLUMNS * len(maps), max(3.0, rows + 0.7))
    first, *others = figure.subplots(1, 1 + len(maps), width_ratios=[0.6] + [1] * len(maps), squeeze=False)[0]
    _image(first, pixels, title=title)
    for axes, (name, channels) in zip(others, maps.items(), strict=True):
        shown = channels[:MOST_CHANNELS].astype(np.float64)
        low, high = (end(shown, axis=(1, 2), keepdims=True) for end in (np.min, np.max))
        tiles = MAP((shown - low) / np.maximum(high - low, np.finfo(np.float64).tiny))[..., :3]
        _tiled(axes, tiles, columns=COLUMNS)
        count = f"{len(shown)} of {len(channels)}" if len(channels) > len(shown) else f"{len(shown)}"
        size = f"{count} channels of {channels.shape[1]}x{channels.shape[2]} pixels"
        axes.set_title(f"{literal(name)}\n{size}", fontsize=9)
    return save(figure, path)


def _tiled(axes: Axes, tiles: Pixels, *, columns: int) -> None:
    """Tiles [N, h, w, 3] in rows, with white between them."""
    side = math.ceil(TILE / max(tiles.shape[1:3]))
    tiles = tiles.repeat(side, axis=1).repeat(side, axis=2)  # or the gaps would be as coarse as the tiles
    count, height, width, _ = tiles.shape
    gap, rows = TILE // 12, math.ceil(count / columns)
    canvas = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for number, tile in enumerate(tiles):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    axes.imshow(canvas, interpolation="nearest")
    axes.set_axis_off()


def _image(axes: Axes, pixels: npt.NDArray[np.uint8], *, title: str) -> None:
    axes.imshow(pixels, interpolation="nearest")
    axes.set_title(literal(title), fontsize=9)
    axes.set_axis_off()
