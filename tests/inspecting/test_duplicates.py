"""Images that show the same are found, whatever was done to one of them, and others are not."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from search.data import cifar10
from search.inspecting.duplicates import find_duplicates

REACH = 2  # pixels of a shift


def scenes(count: int, *, side: int, channels: int, seed: int) -> Tensor:
    """Coarse shapes with texture before one sky, a little larger than `side`: all of them look like one class."""
    random, wide = torch.Generator().manual_seed(seed), side + 2 * REACH
    shapes = F.interpolate(torch.rand(count, channels, 4, 4, generator=random), wide, mode="bicubic")
    texture = F.interpolate(torch.rand(count, channels, wide // 2, wide // 2, generator=random), wide, mode="bilinear")
    sky = torch.linspace(1, 0, wide)[:, None]
    return ((shapes + 0.4 * texture + sky) * 80).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def jpeg(image: Tensor) -> Tensor:
    pixels = image.squeeze(-1).numpy()
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG", quality=60)
    return torch.from_numpy(np.array(Image.open(file))).view(image.shape)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda image: image[REACH:-REACH, REACH:-REACH],
    "shifted": lambda image: image[: -2 * REACH, 2 * REACH :],
    "mirrored": lambda image: image[REACH:-REACH, REACH:-REACH].flip(1),
    "brighter": lambda image: (image[REACH:-REACH, REACH:-REACH] * 0.7 + 60).to(torch.uint8),
    "compressed": lambda image: jpeg(image[REACH:-REACH, REACH:-REACH]),
}


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (28, 1), (64, 3)])
def test_planted_duplicates_are_found_and_other_images_of_a_class_are_not(side: int, channels: int) -> None:
    known = scenes(60, side=side, channels=channels, seed=0)
    planted = torch.stack([change(known[number]) for number, change in enumerate(CHANGES.values())])
    middle = slice(REACH, REACH + side)
    other = scenes(30, side=side, channels=channels, seed=1)[:, middle, middle]
    known = known[:, middle, middle]

    found = find_duplicates(torch.cat([planted, other]), known)

    assert {pair.image: pair.other for pair in found} == {number: number for number in range(len(CHANGES))}
    assert [pair.image for pair in found if pair.similarity == 1] == [0]
    assert find_duplicates(known) == []
    within = find_duplicates(torch.cat([known, planted]))
    assert {pair.image - len(known): pair.other for pair in within} == {
        number: number for number in range(len(CHANGES))
    }


def test_empty_images_are_equal_to_each_other_only() -> None:
    black, white = torch.zeros(2, 32, 32, 3, dtype=torch.uint8), torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    assert [tuple(pair) for pair in find_duplicates(torch.cat([black, white]))] == [(1, 0, 1.0)]
    assert find_duplicates(white, black) == []


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif("CIFAR_SEARCH_DATA" not in os.environ, reason="needs CIFAR-10: set CIFAR_SEARCH_DATA")
def test_about_as_many_test_images_of_cifar10_are_in_training_as_is_known() -> None:
    place = cifar10.find(Path(os.environ["CIFAR_SEARCH_DATA"]), download=False)
    found = find_duplicates(cifar10.load_test(place).pixels, cifar10.load_training(place).pixels)
    assert 250 <= len(found) <= 450  # arXiv 1902.00423 says 3.3 % of 10,000
