"""The optimiser and the learning-rate schedule of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from search.candidate import Recipe

UNIT_BATCH = 1024  # images: the batch to which a decoupled learning rate and weight decay refer (arXiv 2404.00498)
ADAMW_STEP = 1 / 800  # gives AdamW its best step where SGD has it, at 11.5 (studies/results/LOG.md, 2)
WARMUP_START = 0.2  # share of the peak at which the learning rate starts
FINAL = 0.0  # share of the peak at which it ends: every trial is a complete, annealed schedule


def learning_rate(recipe: Recipe) -> float:
    """Peak learning rate for the mean loss of a batch.

    Decoupled (arXiv 2404.00498): the same number fits every batch size and momentum, since a step is divided by the
    1 + 1/(1 - momentum) by which Nesterov momentum enlarges it, and multiplied by batch_size / 1024.
    """
    if not recipe.decoupled:
        return recipe.learning_rate
    if recipe.optimizer == "adamw":
        return recipe.learning_rate * ADAMW_STEP * math.sqrt(recipe.batch_size / UNIT_BATCH)
    return recipe.learning_rate * recipe.batch_size / UNIT_BATCH / _enlargement(recipe)


def weight_decay(recipe: Recipe) -> float:
    """Weight decay as torch takes it; in the decoupled form its strength does not depend on the learning rate."""
    if not recipe.decoupled:
        return recipe.weight_decay
    return recipe.weight_decay * recipe.batch_size / UNIT_BATCH / _enlargement(recipe) / learning_rate(recipe)


def _enlargement(recipe: Recipe) -> float:
    return 1 + 1 / (1 - recipe.momentum)


def _sgd(groups: list[dict[str, object]], recipe: Recipe) -> Optimizer:
    nesterov = recipe.momentum > 0
    return SGD(groups, lr=learning_rate(recipe), momentum=recipe.momentum, nesterov=nesterov, foreach=True)


def _adamw(groups: list[dict[str, object]], recipe: Recipe) -> Optimizer:
    return AdamW(groups, lr=learning_rate(recipe), betas=(recipe.momentum, 0.99), foreach=True)


OPTIMIZERS: dict[str, Callable[[list[dict[str, object]], Recipe], Optimizer]] = {"sgd": _sgd, "adamw": _adamw}


def optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over every trainable weight; biases of frozen-scale norms learn `bias_scale` faster."""
    rate, decay = learning_rate(recipe), weight_decay(recipe)
    slow: list[nn.Parameter] = []
    fast: list[nn.Parameter] = []
    for module in network.modules():
        lone_bias = isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad
        for weights in module.parameters(recurse=False):
            if weights.requires_grad:
                (fast if lone_bias else slow).append(weights)
    groups: list[dict[str, object]] = [{"params": slow, "weight_decay": decay}]
    if fast:
        scale = recipe.bias_scale if recipe.optimizer == "sgd" else 1.0  # Adam's step knows no scale of the gradient
        groups.append({"params": fast, "lr": rate * scale, "weight_decay": decay / scale})
    return OPTIMIZERS[recipe.optimizer](groups, recipe)


def schedule(optimizer: Optimizer, recipe: Recipe, *, steps: int) -> LambdaLR:
    """Linear rise in the first `warmup` share of the steps, then linear fall to zero at the last."""
    rise = max(1.0, recipe.warmup * steps)

    def factor(step: int) -> float:
        if step < rise and recipe.warmup > 0:
            return WARMUP_START + (1 - WARMUP_START) * step / rise
        return FINAL + (1 - FINAL) * (steps - step) / max(1.0, steps - (rise if recipe.warmup > 0 else 0))

    return LambdaLR(optimizer, factor)
