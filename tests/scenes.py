"""Larger photos with images planted in them at known places, and how many of those a list of boxes finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision.ops import box_iou

from search.data.images import Images
from search.shipping.drawing import Box

SIDE = 256  # pixels of a scene
Pixels = npt.NDArray[np.uint8]


def grey(random: np.random.Generator) -> Pixels:
    return np.full((SIDE, SIDE, 3), 128, dtype=np.uint8)


def noise(random: np.random.Generator) -> Pixels:
    return random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def gradient(random: np.random.Generator) -> Pixels:
    """From one colour to another, in any direction."""
    first, last = random.integers(0, 256, (2, 3))
    angle, (y, x) = random.uniform(0, 2 * np.pi), np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    share = np.clip(0.5 + (x * np.cos(angle) + y * np.sin(angle)) / 2**0.5, 0, 1)[..., None]
    return np.asarray(first + (last - first) * share, dtype=np.uint8)


BACKGROUNDS: dict[str, Callable[[np.random.Generator], Pixels]] = {"grey": grey, "noise": noise, "gradient": gradient}


class Planted(NamedTuple):
    """One image in a scene."""

    label: str
    corners: tuple[int, int, int, int]  # left, top, right, bottom


def scene(
    images: Images, *, background: str, seed: int, objects: int = 9, scales: Sequence[float] = (1,)
) -> tuple[Image.Image, list[Planted]]:
    """A photo with so many images in it, each at one of the scales; none touches another."""
    random = np.random.default_rng(seed)
    photo, planted = Image.fromarray(BACKGROUNDS[background](random)), list[Planted]()
    chosen, sizes = random.permutation(len(images)), sorted(random.choice(scales, objects), reverse=True)
    for index, scale in zip(chosen, sizes, strict=False):
        side = int(images.shape.side * scale)
        while True:
            left, top = (int(place) for place in random.integers(0, SIDE - side + 1, 2))
            corners = left, top, left + side, top + side
            if all(
                corners[2] <= other[0] or left >= other[2] or corners[3] <= other[1] or top >= other[3]
                for _, other in planted
            ):
                break
        image = Image.fromarray(images.pixels[int(index)].numpy())
        photo.paste(image.resize((side, side), Image.Resampling.BICUBIC), (left, top))
        planted.append(Planted(images.classes[int(images.labels[int(index)])], corners))
    return photo, planted


def judged(boxes: Iterable[Box], planted: Sequence[Planted]) -> tuple[int, int]:
    """How many planted images are found, with the right class and an overlap of 0.5; how many boxes are false."""
    left, false = list(planted), 0
    for box in boxes:
        corners = torch.tensor([[box.left, box.top, box.right, box.bottom]]).float()
        hits = [each for each in left if each.label == box.label and _overlap(corners, each) >= 0.5]
        false += not hits
        if hits:
            left.remove(hits[0])
    return len(planted) - len(left), false


def _overlap(corners: torch.Tensor, planted: Planted) -> float:
    return float(box_iou(corners, torch.tensor([planted.corners]).float()))
