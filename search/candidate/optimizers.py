"""The optimisers that a recipe may name, one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal


@dataclass(frozen=True, kw_only=True)
class OptimizerKind:
    """An optimiser, with all that the rest of the program must know about it."""

    factory: str  # module:class, imported when a training begins, because torch takes seconds
    arguments: Callable[[float, float], dict[str, Any]]  # of the class, from momentum and Adam's second beta
    moments: int  # numbers that it keeps for each weight
    step: float | None  # relative to SGD's learning rate; None: the step grows with the gradient, as SGD's does
    momentum_enlarges: bool = False  # steady gradients make the step 1/(1 - momentum) times as long
    decay_apart: bool = False  # weight decay is divided by the optimiser's own learning rate, not by SGD's
    only_filters: bool = False  # filters of convolutions are stepped by it, all other weights as by SGD


def _nesterov(momentum: float, _: float) -> dict[str, Any]:
    return {"momentum": momentum, "nesterov": momentum > 0, "foreach": True}


def _betas(momentum: float, second: float) -> dict[str, Any]:
    return {"betas": (momentum, second), "foreach": True}


def _momentum(momentum: float, _: float) -> dict[str, Any]:
    return {"momentum": momentum, "foreach": True}


def _momentum_alone(momentum: float, _: float) -> dict[str, Any]:
    return {"momentum": momentum}


# A step gives each its best learning rate where SGD has its own, at about 10 (studies/results/LOG.md, 9).
OPTIMIZERS: dict[str, OptimizerKind] = {
    "sgd": OptimizerKind(factory="torch.optim:SGD", arguments=_nesterov, moments=1, step=None),
    "adam": OptimizerKind(factory="torch.optim:Adam", arguments=_betas, moments=2, step=1 / 800),
    "adamw": OptimizerKind(factory="torch.optim:AdamW", arguments=_betas, moments=2, step=1 / 800, decay_apart=True),
    "rmsprop": OptimizerKind(
        factory="torch.optim:RMSprop", arguments=_momentum, moments=2, step=1 / 800, momentum_enlarges=True
    ),
    "muon": OptimizerKind(
        factory="search.training.muon:Muon", arguments=_momentum_alone, moments=1, step=1 / 60, only_filters=True
    ),
}

if TYPE_CHECKING:
    OptimizerName = str
else:
    OptimizerName = Literal[tuple(OPTIMIZERS)]
