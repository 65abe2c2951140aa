"""RandAugment and TrivialAugment: which operations each image gets."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from search.data import synthetic
from search.data.draw import BatchDraw
from search.data.operations import OPERATIONS
from search.data.policy import MAGNITUDES, Policy, policy

FILL = torch.tensor([120, 131, 110], dtype=torch.uint8)
COUNT = 1400


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
    found = policy("randaugment", operations=1, magnitude=12, fill=FILL)
    possible = outcomes(found, one(), range(12, 13))
    seen = Counter(changed(found))
    assert set(seen) == set(possible)
    for picture, names in possible.items():
        signs = 2 if OPERATIONS[next(iter(names))].signed else 1
        expected = COUNT * len(names) / len(OPERATIONS) / signs
        assert abs(seen[picture] - expected) < 4.5 * expected**0.5


def test_randaugment_applies_as_many_operations_as_the_recipe_says_one_after_the_other() -> None:
    found = policy("randaugment", operations=2, magnitude=12, fill=FILL)
    first = outcomes(found, one(), range(12, 13))
    planes = torch.stack([torch.frombuffer(bytearray(picture), dtype=torch.uint8) for picture in first])
    possible = outcomes(found, planes.view(-1, 3, 32, 32), range(12, 13))
    seen = set(changed(found, count=300))
    assert seen <= set(possible)
    assert len(seen - set(first)) > 150


def test_trivialaugment_draws_one_operation_of_any_magnitude() -> None:
    found = policy("trivialaugment", operations=5, magnitude=3, fill=FILL)
    possible = outcomes(found, one(), range(MAGNITUDES))
    seen = changed(found)
    assert set(seen) <= set(possible)
    assert len(set(seen)) > len(possible) / 2
    names = Counter(name for picture in seen if len(possible[picture]) == 1 for name in possible[picture])
    assert all(names[name] > COUNT / len(OPERATIONS) / 2 for name in set(OPERATIONS) - {"identity"})


def test_each_image_keeps_its_place_in_the_batch() -> None:
    pixels = torch.arange(200, dtype=torch.uint8)[:, None, None, None].expand(-1, 32, 32, 3)
    found = policy("randaugment", operations=3, magnitude=0, fill=FILL)  # changes no picture of a single level
    draw = BatchDraw(torch.Generator().manual_seed(0), torch.device("cpu"), len(pixels))
    assert torch.equal(found.change(pixels, draw), pixels)
