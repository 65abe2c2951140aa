"""The optimiser of a recipe: which weights learn together, and how fast."""

import math
import pkgutil
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from search.candidate import OPTIMIZERS, Recipe

UNIT_BATCH = 1024  # images: the batch to which a decoupled learning rate and weight decay refer (arXiv 2404.00498)
SECOND_BETA = 0.99  # of Adam: share of the mean squared gradient that a step keeps
TORCH_SECOND_BETA = 0.999  # likewise, of Adam in torch's own form, which is for longer trainings


def learning_rate(recipe: Recipe) -> float:
    """Peak learning rate for the mean loss of a batch; with Muon of the filters.

    In the decoupled form (arXiv 2404.00498) the same number fits every batch size and momentum. SGD's step is divided
    by 1 + 1/(1 - momentum), by which Nesterov momentum enlarges it, and multiplied by batch_size / 1024. The other
    optimisers' steps do not grow with the gradient: they are multiplied by the root of that (arXiv 2205.10287).
    """
    kind = OPTIMIZERS[recipe.optimizer]
    if not recipe.decoupled or kind.step is None:
        return _sgd_rate(recipe)
    rate = recipe.learning_rate * kind.step * math.sqrt(recipe.batch_size / UNIT_BATCH)
    return rate * (1 - recipe.momentum) if kind.momentum_enlarges else rate


def weight_decay(recipe: Recipe) -> float:
    """Weight decay as torch takes it; in the decoupled form its strength does not depend on the learning rate.

    AdamW's is apart from the gradient, so it is divided by AdamW's learning rate. The others' is divided by SGD's:
    it is a part of the loss, the same for SGD, Adam and RMSprop, or belongs to weights that Muon leaves to SGD.
    """
    if not recipe.decoupled:
        return recipe.weight_decay
    rate = learning_rate(recipe) if OPTIMIZERS[recipe.optimizer].decay_apart else _sgd_rate(recipe)
    return recipe.weight_decay * recipe.batch_size / UNIT_BATCH / _enlargement(recipe) / rate


def _sgd_rate(recipe: Recipe) -> float:
    """The learning rate of SGD, also for the weights that Muon leaves to it."""
    if not recipe.decoupled:
        return recipe.learning_rate
    return recipe.learning_rate * recipe.batch_size / UNIT_BATCH / _enlargement(recipe)


def _enlargement(recipe: Recipe) -> float:
    return 1 + 1 / (1 - recipe.momentum)


def optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over every trainable weight, in groups, the pretrained backbone's last.

    Biases of norms with a frozen scale learn `bias_scale` times faster where a step grows with the gradient; a
    backbone's last block learns at `backbone_scale`, each one below it `depth_scale` times as fast as the next one
    above. All decay as strongly as the rest. A group's `rests` is for the schedule.
    """
    kind = OPTIMIZERS[recipe.optimizer]
    levels: dict[int, int] = {}  # of the backbone: from 1 below the head; all 1 where depth makes no difference
    for depth, block in enumerate(reversed(getattr(network, "backbone_blocks", list)())):
        levels |= {id(weights): 1 + depth * (recipe.depth_scale < 1) for weights in block.parameters()}
    groups: dict[tuple[int, bool, bool], list[nn.Parameter]] = {}
    for module in network.modules():
        lone_bias = isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad
        # where each filter sees one channel only, they make no matrix worth turning
        filters = module.weight if kind.only_filters and isinstance(module, nn.Conv2d) and module.groups == 1 else None
        for weights in module.parameters(recurse=False):
            if weights.requires_grad:
                groups.setdefault((levels.get(id(weights), 0), weights is not filters, lone_bias), []).append(weights)
    second_beta = SECOND_BETA if recipe.decoupled else TORCH_SECOND_BETA
    make: Callable[..., Optimizer] = pkgutil.resolve_name(kind.factory)
    parts = [_group(groups[key], key, recipe) for key in sorted(groups)]
    return make(parts, lr=learning_rate(recipe), **kind.arguments(recipe.momentum, second_beta))


def _group(weights: list[nn.Parameter], key: tuple[int, bool, bool], recipe: Recipe) -> dict[str, Any]:
    level, plain, lone_bias = key  # 0: the head
    kind = OPTIMIZERS[recipe.optimizer]
    group: dict[str, Any] = {"params": weights, "rests": recipe.head_first if level else 0.0}
    rate = learning_rate(recipe)
    scale = recipe.backbone_scale * recipe.depth_scale ** (level - 1) if level else 1.0
    if kind.only_filters:
        group["filters"] = not plain
        rate = _sgd_rate(recipe) if plain else rate
    if lone_bias and (kind.step is None or kind.only_filters):
        scale *= recipe.bias_scale
    return group | {"lr": rate * scale, "weight_decay": weight_decay(recipe) / scale}


@torch.no_grad()
def add_l1(network: nn.Module, strength: float) -> None:
    """Add the slope of strength times the sum of |w| to the gradients of all weights but biases and norms."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    weights = [layer.weight for layer in layers if layer.weight.grad is not None]
    gradients = [layer.weight.grad for layer in layers if layer.weight.grad is not None]
    torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=strength)
