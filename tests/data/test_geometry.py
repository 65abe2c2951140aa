"""Turned, resized and sheared pictures: equal to torchvision's of one picture at a time."""

from __future__ import annotations

import torch
import torchvision.transforms.functional as V

from search.data import synthetic
from search.data.geometry import matrices, warp

BILINEAR = V.InterpolationMode.BILINEAR


def test_geometry_is_that_of_torchvision() -> None:
    pixels, generator = synthetic.training(40).pixels, torch.Generator().manual_seed(0)
    unit = 2 * torch.rand(4, 40, generator=generator) - 1
    degrees, scale, shear = 180 * unit[0], 1 + 0.5 * unit[1], 40 * unit[2:]
    changed = warp(pixels, matrices(degrees, scale=scale, shear=shear))
    shares = []
    for i, image in enumerate(pixels):
        # torchvision turns clockwise
        how = (-float(degrees[i]), [0, 0], float(scale[i]), shear[:, i].tolist(), BILINEAR)
        theirs = V.affine(image.permute(2, 0, 1).float(), *how).permute(1, 2, 0)
        whole = V.affine(torch.ones(1, 32, 32), *how)[0] > 0.9999  # beyond the edge theirs is black, ours reflected
        assert torch.allclose(changed[i][whole], theirs[whole], atol=0.1)
        shares.append(float(whole.float().mean()))
    assert sum(shares) / len(shares) > 0.5


def test_rotation_alone_is_that_of_torchvision() -> None:
    degrees = torch.linspace(-180, 180, 40)
    pixels = synthetic.training(40).pixels
    turned = warp(pixels, matrices(degrees, scale=torch.ones(40), shear=torch.zeros(2, 40)))
    away = torch.arange(32) - 15.5
    inside = (away.square()[:, None] + away.square()).sqrt() < 15  # torchvision blackens what lies outside
    for mine, image, angle in zip(turned, pixels, degrees.tolist(), strict=True):
        theirs = V.rotate(image.permute(2, 0, 1).float(), angle, interpolation=BILINEAR).permute(1, 2, 0)
        assert torch.allclose(mine[inside], theirs[inside], atol=0.1)


def test_what_lies_beyond_an_edge_is_the_reflection() -> None:
    pixels = synthetic.training(10).pixels
    smaller = warp(pixels, matrices(torch.zeros(10), scale=torch.full((10,), 0.5), shear=torch.zeros(2, 10)))
    half = smaller[:, 8:24, 8:24]  # the whole picture
    assert torch.allclose(smaller[:, 8:24, :8], half[:, :, :8].flip(2), atol=0.1)
    assert torch.allclose(smaller[:, 24:, 8:24], half[:, 8:].flip(1), atol=0.1)
