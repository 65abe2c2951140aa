"""What a network costs, counted on the real network without memory or arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from search.candidate import Architecture
from search.networks.blocks import CHANNELS, PIXELS
from search.networks.build import build


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Size and work of one network."""

    parameters: int  # frozen ones included
    flops: int  # of one image's forward pass; a multiplication and its addition are two

    def measures(self) -> dict[str, float]:
        """By the names that a space file's constraints use."""
        return {"parameters": self.parameters, "flops": self.flops}


MEASURES = ("parameters", "flops")


def cost(architecture: Architecture, *, classes: int = 10) -> Cost:
    """Build the network on the meta device and count. Raises NetworkError where the architecture is impossible."""
    with torch.device("meta"):
        network = build(architecture, classes=classes, seed=0, device="meta").eval()
        images = torch.empty(1, CHANNELS, PIXELS, PIXELS)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    return Cost(
        parameters=sum(weights.numel() for weights in network.parameters()), flops=int(counter.get_total_flops())
    )
