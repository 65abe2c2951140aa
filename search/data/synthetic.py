"""A small, learnable, generated data set of CIFAR-10's shape, for tests and for a first look without data."""

import numpy as np
import torch

from search.data.cifar10 import CLASSES
from search.data.images import Images

# A class is a colour and a direction of stripes: neither changes when an image is mirrored or shifted.
_COLORS = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [-1, 1, 1]])


def training(count: int = 2000, seed: int = 0) -> Images:
    """Training images, equally many of every class if `count` is a multiple of ten."""
    return _draw(count, np.random.default_rng([seed, 0]))


def test(count: int = 500) -> Images:  # noqa: PT028 - no pytest function
    """Test images, always the same."""
    return _draw(count, np.random.default_rng([0, 1]))


def _draw(count: int, random: np.random.Generator) -> Images:
    """Stripes of random phase and width in a class's colour, faint under grey stripes and noise."""
    labels = random.permutation(np.arange(count) % len(CLASSES))
    phase, width = random.uniform(0, 2 * np.pi, count), random.uniform(4, 10, count)  # radians, pixels
    strength = random.uniform(0.4, 1, count)
    position = np.arange(32) * 2 * np.pi / width[:, None] + phase[:, None]
    stripes = np.sin(position)[:, :, None] * np.ones(32)  # [N, 32, 32], lying
    upright = (labels >= len(_COLORS))[:, None, None]
    stripes = np.where(upright, stripes.transpose(0, 2, 1), stripes)
    color = _COLORS[labels % len(_COLORS)] * strength[:, None]
    signal = stripes[..., None] * 40 + color[:, None, None, :] * 25
    noise = random.normal(0, 50, (count, 32, 32, 3)) + random.normal(0, 8, (count, 1, 1, 3))
    pixels = np.clip(128 + signal + noise, 0, 255).astype(np.uint8)
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels), CLASSES)
