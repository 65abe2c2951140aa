"""Random numbers for a batch, drawn for each image."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BatchDraw:
    """Numbers for `count` images, drawn where the generator lives: a CPU generator gives every device the same."""

    generator: torch.Generator
    device: torch.device
    count: int

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers [*shape, B]."""
        unit = torch.rand(*shape, self.count, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * unit).to(self.device)

    def around(self, centre: float, reach: float, *shape: int) -> Tensor:
        """Uniform numbers [*shape, B] at most `reach` from `centre`; a reach of 0 draws nothing."""
        if reach:
            return self.between(centre - reach, centre + reach, *shape)
        return torch.full((*shape, self.count), float(centre), device=self.device)

    def integers(self, bound: int, *shape: int) -> Tensor:
        """Uniform integers [*shape, B] from 0 to bound - 1."""
        size = (*shape, self.count)
        return torch.randint(bound, size, generator=self.generator, device=self.generator.device).to(self.device)

    def coins(self) -> Tensor:
        """True for half of the images, bool [B]."""
        return self.between(0, 1) < 0.5

    def beta(self, shape: float) -> Tensor:
        """Numbers [B] of the Beta(shape, shape) distribution.

        Exact for every shape: t = sqrt(U^(-1/shape) - 1) cos(2 pi V) has Student's form (Bailey 1994), and
        (1 + t / sqrt(1 + t^2)) / 2 is then Beta (Devroye 1996); written so that a small shape cannot overflow.
        """
        first, second = self.between(0, 1, 2)
        power, cosine = first.pow(1 / shape), torch.cos(2 * math.pi * second)
        spread = cosine.square() * (1 - power)
        return torch.sqrt(spread / (power + spread)) * cosine.sign() / 2 + 0.5
