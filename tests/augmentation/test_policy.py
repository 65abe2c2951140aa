"""RandAugment and TrivialAugment: torchvision's operations, to the level, and which of them each image gets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.transforms.functional as V
from torch import Tensor
from torchvision.transforms import RandAugment, TrivialAugmentWide

from search.augmentation.draw import BatchDraw
from search.augmentation.policy import MAGNITUDES, OPERATIONS, Policy
from search.candidate import Recipe
from search.data import synthetic

FILL = torch.tensor([120, 131, 110], dtype=torch.uint8)
COLOR = FILL.tolist()
NEAREST = V.InterpolationMode.NEAREST
COUNT = 1400


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


def policy(name: Any, *, operations: int = 2, magnitude: int = 9) -> Policy:
    return Policy(Recipe(policy=name, operations=operations, magnitude=magnitude), fill=FILL, side=32)


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
    mine, space = policy(name), SPACES[name]
    assert {THEIRS[operation][0] for operation in OPERATIONS} == set(space)
    for operation, strengths, signed in zip(OPERATIONS, mine.strengths, mine.signed, strict=True):
        magnitudes, theirs_signed = space[THEIRS[operation][0]]
        ours = strengths.round() if operation == "posterize" else strengths
        assert torch.equal(ours, magnitudes.expand(MAGNITUDES).float())
        assert bool(signed) == theirs_signed


def outcomes(found: Policy, planes: Tensor, magnitudes: range) -> dict[bytes, set[str]]:
    """All pictures that one operation can make of `planes` [B, 3, 32, 32], with the operations that do."""
    made: dict[bytes, set[str]] = {}
    for (name, operation), strengths in zip(OPERATIONS.items(), found.strengths, strict=True):
        chosen = strengths[list(magnitudes)]
        chosen = torch.cat([chosen, -chosen]) if operation.signed else chosen
        each = chosen.repeat_interleave(len(planes))
        for picture in operation.change(planes.repeat(len(chosen), 1, 1, 1), each, FILL):
            made.setdefault(picture.numpy().tobytes(), set()).add(name)
    return made


def changed(found: Policy, *, count: int = COUNT) -> list[bytes]:
    """What a policy makes of one picture, many times, as planes."""
    draw = BatchDraw(torch.Generator().manual_seed(0), torch.device("cpu"), count)
    made = found.change(one().permute(0, 2, 3, 1).expand(count, -1, -1, -1), draw)
    return [picture.numpy().tobytes() for picture in made.permute(0, 3, 1, 2).contiguous()]


def one() -> Tensor:
    """A picture that every operation changes: not of all levels, or autocontrast would leave it as it is."""
    return synthetic.training(10).pixels[:1].permute(0, 3, 1, 2).contiguous() // 2 + 30


def test_randaugment_draws_every_operation_equally_often_and_either_sign() -> None:
    found = policy("randaugment", operations=1, magnitude=12)
    possible = outcomes(found, one(), range(12, 13))
    seen = Counter(changed(found))
    assert set(seen) == set(possible)
    for picture, names in possible.items():
        signs = 2 if OPERATIONS[next(iter(names))].signed else 1
        expected = COUNT * len(names) / len(OPERATIONS) / signs
        assert abs(seen[picture] - expected) < 4.5 * expected**0.5


def test_randaugment_applies_as_many_operations_as_the_recipe_says_one_after_the_other() -> None:
    found = policy("randaugment", operations=2, magnitude=12)
    first = outcomes(found, one(), range(12, 13))
    planes = torch.stack([torch.frombuffer(bytearray(picture), dtype=torch.uint8) for picture in first])
    possible = outcomes(found, planes.view(-1, 3, 32, 32), range(12, 13))
    seen = set(changed(found, count=300))
    assert seen <= set(possible)
    assert len(seen - set(first)) > 150


def test_trivialaugment_draws_one_operation_of_any_magnitude() -> None:
    found = policy("trivialaugment", operations=5, magnitude=3)
    possible = outcomes(found, one(), range(MAGNITUDES))
    seen = changed(found)
    assert set(seen) <= set(possible)
    assert len(set(seen)) > len(possible) / 2
    names = Counter(name for picture in seen if len(possible[picture]) == 1 for name in possible[picture])
    assert all(names[name] > COUNT / len(OPERATIONS) / 2 for name in set(OPERATIONS) - {"identity"})


def test_each_image_keeps_its_place_in_the_batch() -> None:
    pixels = torch.arange(200, dtype=torch.uint8)[:, None, None, None].expand(-1, 32, 32, 3)
    found = policy("randaugment", operations=3, magnitude=0)  # changes no picture of a single level
    draw = BatchDraw(torch.Generator().manual_seed(0), torch.device("cpu"), len(pixels))
    assert torch.equal(found.change(pixels, draw), pixels)
