"""The optimiser of a recipe: which weights learn together, and how fast."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from search.candidate import Recipe
from search.networks.protocols import backbone_parameters
from search.training.muon import Muon

UNIT_BATCH = 1024  # images: the batch to which a decoupled learning rate and weight decay refer (arXiv 2404.00498)
STEP = {  # gives each its best step where SGD has it, at about 10 (studies/results/LOG.md, 9)
    "adam": 1 / 800,
    "adamw": 1 / 800,
    "rmsprop": 1 / 800,
    "muon": 1 / 60,
}
SQUARES = 0.99  # share of the mean squared gradient that a step keeps
TORCH_SQUARES = 0.999  # likewise, of Adam in torch's own form, which is for longer trainings

Groups = list[dict[str, Any]]


def learning_rate(recipe: Recipe) -> float:
    """Peak learning rate for the mean loss of a batch; with Muon of the filters.

    Decoupled (arXiv 2404.00498): the same number fits every batch size and momentum. SGD's step is divided by the
    1 + 1/(1 - momentum) by which Nesterov momentum enlarges it, and multiplied by batch_size / 1024. The step of the
    others knows no scale of the gradient: it is multiplied by the root of that (arXiv 2205.10287), and only RMSprop's
    is enlarged by the momentum, 1/(1 - momentum) times.
    """
    if not recipe.decoupled:
        return recipe.learning_rate
    if recipe.optimizer == "sgd":
        return _sgd_rate(recipe)
    rate = recipe.learning_rate * STEP[recipe.optimizer] * math.sqrt(recipe.batch_size / UNIT_BATCH)
    return rate * (1 - recipe.momentum) if recipe.optimizer == "rmsprop" else rate


def weight_decay(recipe: Recipe) -> float:
    """Weight decay as torch takes it; in the decoupled form its strength does not depend on the learning rate.

    AdamW's, apart from the gradient, is divided by its own rate. One in the gradient is a part of the loss, the same
    for SGD, Adam and RMSprop, and is divided by SGD's rate, as is that of the weights which Muon leaves to SGD.
    """
    if not recipe.decoupled:
        return recipe.weight_decay
    rate = learning_rate(recipe) if recipe.optimizer == "adamw" else _sgd_rate(recipe)
    return recipe.weight_decay * recipe.batch_size / UNIT_BATCH / _enlargement(recipe) / rate


def _sgd_rate(recipe: Recipe) -> float:
    """What SGD takes, also for the weights that Muon leaves to it."""
    if not recipe.decoupled:
        return recipe.learning_rate
    return recipe.learning_rate * recipe.batch_size / UNIT_BATCH / _enlargement(recipe)


def _enlargement(recipe: Recipe) -> float:
    return 1 + 1 / (1 - recipe.momentum)


def _sgd(groups: Groups, recipe: Recipe) -> Optimizer:
    nesterov = recipe.momentum > 0
    return SGD(groups, lr=learning_rate(recipe), momentum=recipe.momentum, nesterov=nesterov, foreach=True)


def _adam(groups: Groups, recipe: Recipe) -> Optimizer:
    return Adam(
        groups,
        lr=learning_rate(recipe),
        betas=(recipe.momentum, SQUARES if recipe.decoupled else TORCH_SQUARES),
        foreach=True,
    )


def _adamw(groups: Groups, recipe: Recipe) -> Optimizer:
    return AdamW(
        groups,
        lr=learning_rate(recipe),
        betas=(recipe.momentum, SQUARES if recipe.decoupled else TORCH_SQUARES),
        foreach=True,
    )


def _rmsprop(groups: Groups, recipe: Recipe) -> Optimizer:
    return RMSprop(groups, lr=learning_rate(recipe), alpha=SQUARES, momentum=recipe.momentum, foreach=True)


def _muon(groups: Groups, recipe: Recipe) -> Optimizer:
    return Muon(groups, lr=_sgd_rate(recipe), momentum=recipe.momentum)


OPTIMIZERS: dict[str, Callable[[Groups, Recipe], Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
    "muon": _muon,
}


def optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over every trainable weight, in groups, the pretrained backbone's last.

    Biases of frozen-scale norms learn `bias_scale` faster where a step knows the scale of the gradient, a backbone
    learns at `backbone_scale`; both decay as strongly as the rest. A group's `rests` is for the schedule.
    """
    backbone = {id(weights) for weights in backbone_parameters(network)}
    found: dict[tuple[bool, bool, bool], list[nn.Parameter]] = {}
    for module in network.modules():
        lone_bias = isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad
        for weights in module.parameters(recurse=False):
            if weights.requires_grad:
                filters = recipe.optimizer == "muon" and weights is _filters(module)
                found.setdefault((id(weights) in backbone, not filters, lone_bias), []).append(weights)
    groups = [_group(found[kind], kind, recipe) for kind in sorted(found)]
    return OPTIMIZERS[recipe.optimizer](groups, recipe)


def _group(weights: list[nn.Parameter], kind: tuple[bool, bool, bool], recipe: Recipe) -> dict[str, Any]:
    backbone, plain, lone_bias = kind
    group: dict[str, Any] = {"params": weights, "rests": recipe.head_first if backbone else 0.0}
    rate, scale = learning_rate(recipe), recipe.backbone_scale if backbone else 1.0
    if recipe.optimizer == "muon":
        group["filters"] = not plain
        rate = _sgd_rate(recipe) if plain else rate
    if lone_bias and recipe.optimizer in ("sgd", "muon"):
        scale *= recipe.bias_scale
    return group | {"lr": rate * scale, "weight_decay": weight_decay(recipe) / scale}


def _filters(module: nn.Module) -> Tensor | None:
    """A convolution's weights, but not where each filter sees one channel only: those make no matrix worth turning."""
    return module.weight if isinstance(module, nn.Conv2d) and module.groups == 1 else None


def matrices(network: nn.Module) -> list[Tensor]:
    """The trainable weights that connect neurons: of convolutions and linear layers, without biases and norms."""
    layers = (module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    return [layer.weight for layer in layers if layer.weight.requires_grad]


@torch.no_grad()
def add_l1(weights: list[Tensor], strength: float) -> None:
    """Add the slope of strength times the sum of |w| to the gradients of these weights, all of which have one."""
    gradients = [each.grad for each in weights if each.grad is not None]
    torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=strength)
