"""One step of a network: from the logits of a batch to its new weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from search.candidate import Recipe
from search.data.augmentation import Targets
from search.training.optimizer import add_l1, matrices


def cross_entropy(logits: Tensor, targets: Targets, *, smoothing: float) -> Tensor:
    """Mean loss of a batch; where images are mixed, of both labels by their shares."""
    if targets.other is None or targets.share is None:
        return F.cross_entropy(logits, targets.labels, label_smoothing=smoothing)
    own = F.cross_entropy(logits, targets.labels, label_smoothing=smoothing, reduction="none")
    other = F.cross_entropy(logits, targets.other, label_smoothing=smoothing, reduction="none")
    return torch.lerp(other, own, targets.share).mean()


def descend(network: nn.Module, loss: Tensor, *, optimizer: Optimizer, recipe: Recipe) -> None:
    """One step of the optimiser down the loss, with what the recipe adds to the gradient and cuts from it."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if recipe.l1:
        add_l1(matrices(network), recipe.l1)
    if recipe.clip:
        clip_grad_norm_(network.parameters(), recipe.clip, foreach=True)
    optimizer.step()
