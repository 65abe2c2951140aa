"""Turned, resized, sheared and recoloured pictures: equal to torchvision's of one picture at a time."""

from __future__ import annotations

import torch
import torchvision.transforms.functional as V

from search.augmentation.pixels import matrices, recolour, turn_hue, warp
from search.data import synthetic

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


def test_what_lies_beyond_an_edge_is_the_reflection() -> None:
    pixels = synthetic.training(10).pixels
    smaller = warp(pixels, matrices(torch.zeros(10), scale=torch.full((10,), 0.5), shear=torch.zeros(2, 10)))
    half = smaller[:, 8:24, 8:24]  # the whole picture
    assert torch.allclose(smaller[:, 8:24, :8], half[:, :, :8].flip(2), atol=0.1)
    assert torch.allclose(smaller[:, 24:, 8:24], half[:, 8:].flip(1), atol=0.1)


def test_brightness_contrast_and_saturation_are_those_of_torchvision_in_this_order() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(90, 150, (30, 32, 32, 3), generator=generator, dtype=torch.uint8)  # no step clips these
    factors = 0.7 + 0.6 * torch.rand(3, 30, generator=generator)
    changed = recolour(pixels, factors)
    for mine, image, (bright, contrast, saturation) in zip(changed, pixels, factors.T.tolist(), strict=True):
        planes = image.permute(2, 0, 1).float() / 255
        planes = V.adjust_contrast(V.adjust_brightness(planes, bright), contrast)
        theirs = V.adjust_saturation(planes, saturation).permute(1, 2, 0) * 255
        assert torch.allclose(mine, theirs, atol=0.1)


def test_hue_is_that_of_torchvision() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.cat([synthetic.training(20).pixels, torch.randint(0, 256, (21, 32, 32, 3), generator=generator)])
    pixels[:, :4] = pixels[:, :4, :, :1]  # grey
    pixels[:, 4:8, :, 1] = pixels[:, 4:8, :, 0]  # two channels alike
    pixels[:, 8:10] = pixels[:, 8:10] // 128 * 255  # black, white and the pure colours
    turns = torch.linspace(-0.5, 0.5, len(pixels))
    changed = turn_hue(pixels, turns)
    for mine, image, turn in zip(changed, pixels, turns.tolist(), strict=True):
        theirs = V.adjust_hue(image.permute(2, 0, 1) / 255, turn).permute(1, 2, 0) * 255
        assert torch.allclose(mine, theirs, atol=0.01)


def test_half_a_turn_gives_the_complementary_colour() -> None:
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).expand(1, 32, 32, 3)
    assert turn_hue(red, torch.tensor([0.5]))[0, 0, 0].tolist() == [0, 200, 200]
