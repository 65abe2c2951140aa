"""How the next values are drawn, by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler

from studies import StudyError, unknown

STARTUP_TRIALS = 10  # random draws before TPE has anything to learn from


def _tpe(seed: int, trials: int, conditional: bool) -> BaseSampler:
    return TPESampler(
        seed=seed,
        n_startup_trials=max(STARTUP_TRIALS, trials * 15 // 100),
        multivariate=True,
        group=conditional,  # without it a conditional parameter is drawn alone
        constant_liar=True,  # running trials count as poor, so that parallel slots spread out
    )


def _random(seed: int, trials: int, conditional: bool) -> BaseSampler:  # noqa: ARG001 the signature of the table
    return RandomSampler(seed=seed)


def _qmc(seed: int, trials: int, conditional: bool) -> BaseSampler:  # noqa: ARG001 the signature of the table
    if conditional:
        raise StudyError("sampler qmc covers a space without `when:` only; take --sampler tpe or random")
    # Scrambled: the first point of the plain sequence is every parameter's lower end.
    return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


SAMPLERS: dict[str, Callable[[int, int, bool], BaseSampler]] = {"tpe": _tpe, "random": _random, "qmc": _qmc}
"""Optuna's GP is not here: it learns from no pruned or failed trial, and would load torch in the supervisor."""


def make_sampler(name: str, *, seed: int, trials: int, conditional: bool) -> BaseSampler:
    """The sampler for a study of so many trials; `conditional`: the space has `when:`. Raises StudyError."""
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # tpe's `group`, and qmc
        return SAMPLERS[name](seed, trials, conditional)
