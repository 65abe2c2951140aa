"""The optimisers, one line each: a new one is a line of the table, also if its class is our own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple


class OptimizerKind(NamedTuple):
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
    "sgd": OptimizerKind("torch.optim:SGD", _nesterov, moments=1, step=None),
    "adam": OptimizerKind("torch.optim:Adam", _betas, moments=2, step=1 / 800),
    "adamw": OptimizerKind("torch.optim:AdamW", _betas, moments=2, step=1 / 800, decay_apart=True),
    "rmsprop": OptimizerKind("torch.optim:RMSprop", _momentum, moments=2, step=1 / 800, momentum_enlarges=True),
    "muon": OptimizerKind("search.training.muon:Muon", _momentum_alone, moments=1, step=1 / 60, only_filters=True),
}

if TYPE_CHECKING:
    OptimizerName = str
else:
    OptimizerName = Literal[tuple(OPTIMIZERS)]
