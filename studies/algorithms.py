"""Optuna's samplers and pruners by name: how the next values are drawn, when a trial is stopped early.

A step is a finished epoch, counted from 1, so a step is also the resource spent so far: successive halving's first
rung at `min_resource=1` is then decided after one epoch (with steps from 0 it would be after two), and the median
pruner's `n_warmup_steps=k` lets the first decision fall after epoch k.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from studies import StudyError, unknown

STARTUP_TRIALS = 10  # random draws before TPE has anything to learn from
HYPERBAND_TRIALS = 100  # each bracket samples on its own and needs its own ten first trials
REPLAYED_TRIALS = 50  # whose defaults a replayed study takes: they set what sampler and pruner count as their start


def _qmc(seed: int, trials: int, conditional: bool) -> BaseSampler:  # noqa: ARG001 the signature of the table
    if conditional:
        raise StudyError("sampler qmc covers a space without `when:` only; take --sampler tpe or random")
    # Scrambled: the first point of the plain sequence is every parameter's lower end.
    return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


SAMPLERS: dict[str, Callable[[int, int, bool], BaseSampler]] = {
    "tpe": lambda seed, trials, conditional: TPESampler(
        seed=seed,
        n_startup_trials=max(STARTUP_TRIALS, trials * 15 // 100),
        multivariate=True,
        group=conditional,  # without it a conditional parameter is drawn alone
        constant_liar=True,  # running trials count as poor, so that parallel slots spread out
    ),
    "random": lambda seed, *_: RandomSampler(seed=seed),
    "qmc": _qmc,
}
"""Optuna's GP is not here: it learns from no pruned or failed trial, and would load torch in the supervisor."""


def make_sampler(name: str, *, seed: int, trials: int, conditional: bool) -> BaseSampler:
    """The sampler for a study of so many trials; `conditional`: the space has `when:`. Raises StudyError."""
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # tpe's `group`, and qmc
        return SAMPLERS[name](seed, trials, conditional)


def _hyperband(trials: int, epochs: int) -> BasePruner:
    if trials < HYPERBAND_TRIALS:
        raise StudyError(
            f"pruner hyperband needs at least {HYPERBAND_TRIALS} trials, not {trials}, because each of its brackets "
            f"samples on its own; take --pruner median or halving, or --trials {HYPERBAND_TRIALS}"
        )
    return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)


PRUNERS: dict[str, Callable[[int, int], BasePruner]] = {
    "median": lambda trials, epochs: MedianPruner(
        n_startup_trials=max(5, trials // 10),
        n_warmup_steps=-(-3 * epochs // 10),  # 30 %, rounded up: epoch 1 of 3, 2 of 4, 3 of 10
        n_min_trials=4,
    ),
    # The rungs of halving lie at 1/9 and 1/3 of the epochs.
    "halving": lambda _, epochs: SuccessiveHalvingPruner(min_resource=max(1, epochs // 9), reduction_factor=3),
    "hyperband": _hyperband,
    "none": lambda *_: NopPruner(),
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


class ReplayedStudy:
    """A study in memory that replays trainings whose every score is known: it proposes values and prunes trials."""

    def __init__(
        self, suggest: Callable[[Any], Mapping[str, Any]], *, sampler: str, pruner: str, epochs: int, seed: int
    ) -> None:
        """`suggest` draws values for a trial of Optuna's; `epochs` are those of the longest trial."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._suggest, self._pruner = suggest, make_pruner(pruner, trials=REPLAYED_TRIALS, epochs=epochs)
        made = make_sampler(sampler, seed=seed, trials=REPLAYED_TRIALS, conditional=False)
        self._study = optuna.create_study(direction="maximize", sampler=made, pruner=self._pruner)
        self._distributions: dict[str, BaseDistribution] = {}
        self.propose()

    def propose(self) -> Mapping[str, Any]:
        """The values that the sampler would try next; `run` tells what was tried instead."""
        asked = self._study.ask()
        values = self._suggest(asked)
        self._distributions = asked.distributions
        self._study.tell(asked, state=TrialState.FAIL)  # which no sampler looks at
        return values

    def run(self, values: Mapping[str, Any], *, scores: Sequence[float]) -> int:
        """Report a score after each epoch until the pruner ends the trial; returns the epochs that it ran."""
        running, epochs = self._trial(values, [], TrialState.RUNNING), 0
        for epochs, score in enumerate(scores, start=1):
            running.intermediate_values[epochs] = score
            if epochs < len(scores) and self._pruner.prune(self._study, running):
                break
        state = TrialState.COMPLETE if epochs == len(scores) else TrialState.PRUNED
        self._study.add_trial(self._trial(values, scores[:epochs], state))
        return epochs

    def _trial(self, values: Mapping[str, Any], scores: Sequence[float], state: TrialState) -> FrozenTrial:
        return create_trial(
            state=state,
            value=scores[-1] if scores else None,
            params=dict(values),
            distributions=self._distributions,
            intermediate_values=dict(enumerate(scores, start=1)),
        )
