"""RandAugment and TrivialAugment: which operations change each image of a batch, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from search.data.draw import BatchDraw
from search.data.operations import OPERATIONS

MAGNITUDES = 31  # from 0 to 30


@dataclass(frozen=True, eq=False)
class Policy:
    """A policy that is ready to change batches on the device of its tensors."""

    strengths: Tensor  # float32 [operations, magnitudes]
    signed: Tensor  # bool [operations]
    fill: Tensor  # uint8 [3]
    rounds: int  # how many operations change an image, one after the other
    magnitude: int | None  # 0 to 30; None draws one for each image

    def change(self, pixels: Tensor, draw: BatchDraw) -> Tensor:
        """Each image of `pixels` (uint8 [B, 32, 32, 3]) changed by operations drawn for it, with replacement."""
        planes = pixels.permute(0, 3, 1, 2).contiguous()
        for _ in range(self.rounds):
            which = draw.integers(len(OPERATIONS))
            magnitude = draw.integers(MAGNITUDES) if self.magnitude is None else self.magnitude
            strength = self.strengths[which, magnitude]
            strength = torch.where(self.signed[which] & draw.coins(), -strength, strength)
            planes = self._apply(planes, which, strength)
        return planes.permute(0, 2, 3, 1).contiguous()

    def _apply(self, planes: Tensor, which: Tensor, strength: Tensor) -> Tensor:
        """Each image after the operation number `which` [B]; the images of one operation are changed together."""
        order = which.argsort()
        others = torch.arange(1, len(OPERATIONS), device=which.device)
        begins = torch.searchsorted(which[order], others).tolist()  # here alone the host waits for the device
        parts = zip(planes[order].tensor_split(begins), strength[order].tensor_split(begins), strict=True)
        changed = [
            operation.change(part, strengths, self.fill) if len(part) else part
            for operation, (part, strengths) in zip(OPERATIONS.values(), parts, strict=True)
        ]
        return torch.cat(changed)[order.argsort()]


def policy(name: Literal["randaugment", "trivialaugment"], *, operations: int, magnitude: int, fill: Tensor) -> Policy:
    """The policy of this name; `fill` is uint8 [3], on the device.

    RandAugment (arXiv 1909.13719) changes an image by `operations` at one `magnitude`; TrivialAugment (2103.10158), in
    its wide form, by one operation at a random magnitude, and uses neither number.
    """
    trivial = name == "trivialaugment"
    ranges = [operation.wide if trivial else operation.moderate for operation in OPERATIONS.values()]
    return Policy(
        strengths=torch.stack([torch.linspace(*ends, MAGNITUDES) for ends in ranges]).to(fill.device),
        signed=torch.tensor([operation.signed for operation in OPERATIONS.values()], device=fill.device),
        fill=fill,
        rounds=1 if trivial else operations,
        magnitude=None if trivial else magnitude,
    )
