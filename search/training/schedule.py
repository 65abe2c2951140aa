"""The learning rate of every step: a warm-up, then one of five schedules."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from search.candidate import Recipe

START = 0.2  # share of the peak at which the learning rate starts
CYCLE_START = 1 / 25  # likewise, of one_cycle; its three numbers are those of torch's OneCycleLR (arXiv 1708.07120)
CYCLE_END = CYCLE_START * 1e-4  # share of the peak at which one_cycle ends
CYCLE_MOMENTUM = 0.1  # by so much the momentum of one_cycle is lower at the peak of the learning rate


def _wave(share: float) -> float:
    """Half a wave of a cosine, from 0 to 1."""
    return (1 - math.cos(math.pi * share)) / 2


FALLS: dict[str, Callable[[float], float]] = {
    "linear": lambda left: left,  # to zero: every trial is a complete, annealed schedule
    "cosine": _wave,
    "one_cycle": lambda left: CYCLE_END + (1 - CYCLE_END) * _wave(left),
    "plateau": lambda _: 1.0,
    "constant": lambda _: 1.0,
}
"""Share of the peak by the share of the steps after the warm-up that is left, from 1 to 0."""


def shape(recipe: Recipe, *, step: int, steps: int) -> float:
    """Share of the peak after `step` of `steps` steps, without the drops of plateau; above 0 in the last step."""
    rise = _rise(recipe, steps)
    if step >= rise:
        return FALLS[recipe.schedule](_left(step, steps, rise))
    if recipe.schedule == "one_cycle":
        return CYCLE_START + (1 - CYCLE_START) * _wave(step / rise)
    return START + (1 - START) * step / rise


def dip(recipe: Recipe, *, step: int, steps: int) -> float:
    """What one_cycle subtracts from the momentum after `step` of `steps` steps: most at the peak of the rate."""
    rise = _rise(recipe, steps)
    return CYCLE_MOMENTUM * _wave(step / rise if step < rise else _left(step, steps, rise))


def _rise(recipe: Recipe, steps: int) -> float:
    return max(1.0, recipe.warmup * steps) if recipe.warmup > 0 else 0.0


def _left(step: int, steps: int, rise: float) -> float:
    return (steps - step) / max(1.0, steps - rise)


class Schedule:
    """Sets each group's learning rate to the one it was made with, times the shape of the recipe.

    A group rests for its share `rests` of the steps: its weights take no gradient, so no step, decay or momentum.
    With one_cycle the momentum (Adam's first beta) moves against the learning rate, as in torch's OneCycleLR.
    Plateau watches the training loss, since the last training before a test has no validation images: after more than
    `patience` epochs without a lower one, as torch's ReduceLROnPlateau counts, the rate is multiplied by `drop`.
    """

    def __init__(self, optimizer: Optimizer, recipe: Recipe, *, steps: int) -> None:
        """`optimizer` is fresh, its learning rates are the peaks; `steps` are those of the whole training."""
        self._optimizer, self._recipe, self._steps = optimizer, recipe, steps
        groups = optimizer.param_groups
        self._peaks: list[float] = [group["lr"] for group in groups]
        self._momenta = [group["betas"][0] if "betas" in group else group["momentum"] for group in groups]
        self._step = 0
        self._lowest = math.inf  # training loss of an epoch
        self._waited = 0  # epochs since then
        self._drops = 0
        self._set()

    @property
    def learning_rate(self) -> float:
        """Of the first group, for the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """After each step of the optimiser."""
        self._step += 1
        self._set()

    def end_epoch(self, train_loss: float) -> None:
        """After the last step of each epoch."""
        self._waited = 0 if train_loss < self._lowest else self._waited + 1
        self._lowest = min(self._lowest, train_loss)
        if self._recipe.schedule == "plateau" and self._waited > self._recipe.patience:
            self._waited, self._drops = 0, self._drops + 1
            self._set()

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step, "lowest": self._lowest, "waited": self._waited, "drops": self._drops}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`; the optimiser's own is loaded before."""
        self._step, self._lowest = state["step"], state["lowest"]
        self._waited, self._drops = state["waited"], state["drops"]
        self._set()

    def _set(self) -> None:
        recipe, step, steps = self._recipe, self._step, self._steps
        share = shape(recipe, step=step, steps=steps) * recipe.drop**self._drops
        for group, peak, momentum in zip(self._optimizer.param_groups, self._peaks, self._momenta, strict=True):
            rests = step < group["rests"] * steps
            group["lr"] = 0.0 if rests else peak * share
            for weights in group["params"]:
                weights.requires_grad_(not rests)
            if recipe.schedule == "one_cycle":
                lower = max(0.0, momentum - dip(recipe, step=step, steps=steps))
                group |= {"betas": (lower, group["betas"][1])} if "betas" in group else {"momentum": lower}
