"""When a trial is stopped early, by name.

A step is a finished epoch, counted from 1, so a step is also the resource spent so far: successive halving's first
rung at `min_resource=1` is then decided after one epoch (with steps from 0 it would be after two), and the median
pruner's `n_warmup_steps=k` lets the first decision fall after epoch k.
"""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner

from studies import StudyError, unknown

HYPERBAND_TRIALS = 100  # each bracket samples on its own and needs its own ten first trials


def _median(trials: int, epochs: int) -> BasePruner:
    return MedianPruner(
        n_startup_trials=max(5, trials // 10),
        n_warmup_steps=-(-3 * epochs // 10),  # 30 %, rounded up: epoch 1 of 3, 2 of 4, 3 of 10
        n_min_trials=4,
    )


def _halving(trials: int, epochs: int) -> BasePruner:  # noqa: ARG001 the signature of the table
    return SuccessiveHalvingPruner(min_resource=max(1, epochs // 9), reduction_factor=3)  # rungs at 1/9 and 1/3


def _hyperband(trials: int, epochs: int) -> BasePruner:
    if trials < HYPERBAND_TRIALS:
        raise StudyError(
            f"pruner hyperband needs at least {HYPERBAND_TRIALS} trials, not {trials}, because each of its brackets "
            f"samples on its own; take --pruner median or halving, or --trials {HYPERBAND_TRIALS}"
        )
    return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)


def _none(trials: int, epochs: int) -> BasePruner:  # noqa: ARG001 the signature of the table
    return NopPruner()


PRUNERS: dict[str, Callable[[int, int], BasePruner]] = {
    "median": _median,
    "halving": _halving,
    "hyperband": _hyperband,
    "none": _none,
}


def make_pruner(name: str, *, trials: int, epochs: int, cost: str | None = None) -> BasePruner:
    """The pruner for so many trials of so many epochs, with steps that are epochs from 1. Raises StudyError.

    `cost` is the study's second objective.
    """
    if name not in PRUNERS:
        raise unknown("pruner", name, PRUNERS)
    if cost and name != "none":
        raise StudyError(
            f"Optuna cannot prune a study with two objectives, and --cost {cost} is a second one: take --pruner none, "
            f"or keep accuracy alone and limit the cost in the space file, constraints: {{{cost}: {{max: ...}}}}"
        )
    return PRUNERS[name](trials, epochs)
