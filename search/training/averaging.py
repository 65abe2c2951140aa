"""A running average of the weights, to which the network is set again and again, more strongly near the end."""

import torch
from torch import nn

EVERY = 5  # steps between two updates (lookahead with a rising decay, arXiv 2404.00498, 3.4)
FORGOTTEN = 1 - 0.95**EVERY  # share of the average that the last update replaces there
STEPS = 485  # of a training there; a longer one forgets more slowly: its average spans the same share of the steps


class Averaging:
    """The average of a network's weights and norm statistics; each update also moves the network onto the average."""

    def __init__(self, network: nn.Module, *, steps: int) -> None:
        self._highest_decay = 1 - FORGOTTEN * min(1.0, STEPS / steps)
        self._current = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
        self.average = [tensor.clone() for tensor in self._current]

    @torch.no_grad()
    def update(self, *, progress: float) -> None:
        """After some steps, and after the last one; progress is the share of the training that is done, 0 to 1."""
        decay = self._highest_decay * progress**3
        torch._foreach_lerp_(self.average, self._current, 1 - decay)
        torch._foreach_copy_(self._current, self.average)

    @torch.no_grad()
    def load(self, average: list[torch.Tensor]) -> None:
        """Go on from an earlier average of an equal network."""
        torch._foreach_copy_(self.average, average)
