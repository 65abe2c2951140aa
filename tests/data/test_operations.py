"""The operations of the policies: equal to torchvision's of one image at a time, to the level."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torchvision.transforms.functional as V
from torch import Tensor
from torchvision.transforms import RandAugment, TrivialAugmentWide

from search.data import synthetic
from search.data.operations import OPERATIONS
from search.data.policy import MAGNITUDES, policy

FILL = torch.tensor([120, 131, 110], dtype=torch.uint8)
COLOR = FILL.tolist()
NEAREST = V.InterpolationMode.NEAREST


def sheared(image: Tensor, x: float, y: float) -> Tensor:
    degrees = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    return V.affine(image, 0.0, [0, 0], 1.0, degrees, NEAREST, fill=COLOR, center=[0, 0])


def translated(image: Tensor, x: float, y: float) -> Tensor:
    return V.affine(image, 0.0, [int(x), int(y)], 1.0, [0.0, 0.0], NEAREST, fill=COLOR)


THEIRS: dict[str, tuple[str, Callable[[Tensor, float], Tensor]]] = {
    "identity": ("Identity", lambda image, _: image),
    "shear x": ("ShearX", lambda image, strength: sheared(image, strength, 0)),
    "shear y": ("ShearY", lambda image, strength: sheared(image, 0, strength)),
    "translate x": ("TranslateX", lambda image, strength: translated(image, strength, 0)),
    "translate y": ("TranslateY", lambda image, strength: translated(image, 0, strength)),
    "rotate": ("Rotate", lambda image, strength: V.rotate(image, strength, NEAREST, fill=COLOR)),
    "brightness": ("Brightness", lambda image, strength: V.adjust_brightness(image, 1 + strength)),
    "saturation": ("Color", lambda image, strength: V.adjust_saturation(image, 1 + strength)),
    "contrast": ("Contrast", lambda image, strength: V.adjust_contrast(image, 1 + strength)),
    "sharpness": ("Sharpness", lambda image, strength: V.adjust_sharpness(image, 1 + strength)),
    "posterize": ("Posterize", lambda image, strength: V.posterize(image, round(strength))),
    "solarize": ("Solarize", V.solarize),
    "autocontrast": ("AutoContrast", lambda image, _: V.autocontrast(image)),
    "equalize": ("Equalize", lambda image, _: V.equalize(image)),
}
SPACES = {
    "randaugment": RandAugment()._augmentation_space(MAGNITUDES, (32, 32)),
    "trivialaugment": TrivialAugmentWide()._augmentation_space(MAGNITUDES),
}


def pictures() -> Tensor:
    """Ordinary, coarse, flat and half flat ones, uint8 [6, 3, 32, 32]."""
    planes = synthetic.training(6).pixels.permute(0, 3, 1, 2).contiguous()
    planes[3] = planes[3] // 64 * 64
    planes[4] = 77
    planes[5, 1] = 3
    planes[5, 2, 0] = 255
    return planes


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_that_of_torchvision_at_every_strength(name: str) -> None:
    planes, cases = pictures(), []
    for space in SPACES.values():
        magnitudes, signed = space[THEIRS[name][0]]
        strengths = magnitudes.expand(MAGNITUDES).tolist()
        # Not where it turns by 45 degrees or shears by 0.2: there rounding chooses between two pixels equally near.
        cases += [sign * strengths[i] for i in (0, 3, 9, 15, 21, 29) for sign in ((1, -1) if signed else (1,))]
    batch, strength = planes.repeat(len(cases), 1, 1, 1), torch.tensor(cases).repeat_interleave(len(planes))
    changed = OPERATIONS[name].change(batch, strength.float(), FILL)
    assert changed.dtype == torch.uint8
    for mine, image, how in zip(changed, batch, [case for case in cases for _ in planes], strict=True):
        assert torch.equal(mine, THEIRS[name][1](image, how)), how


@pytest.mark.parametrize("name", SPACES)
def test_a_policy_has_the_operations_and_strengths_of_torchvision(name: str) -> None:
    mine, space = policy(name, operations=2, magnitude=9, fill=FILL), SPACES[name]  # type: ignore[arg-type]
    assert {THEIRS[operation][0] for operation in OPERATIONS} == set(space)
    for operation, strengths, signed in zip(OPERATIONS, mine.strengths, mine.signed, strict=True):
        magnitudes, theirs_signed = space[THEIRS[operation][0]]
        ours = strengths.round() if operation == "posterize" else strengths
        assert torch.equal(ours, magnitudes.expand(MAGNITUDES).float())
        assert bool(signed) == theirs_signed
