"""What is tried first, samplers and pruners by name: how values are drawn, when a trial is stopped early.

A step is a finished epoch, counted from 1, so a step is also the resource spent so far: successive halving's first
rung at `min_resource=1` is then decided after one epoch (with steps from 0 it would be after two), and the median
pruner's `n_warmup_steps=k` lets the first decision fall after epoch k.
"""

import math
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import count, takewhile
from random import Random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from studies import StudyError, unknown

STARTUP_TRIALS = 10  # random draws before TPE has anything to learn from
HYPERBAND_TRIALS = 100  # each bracket samples on its own and needs its own ten first trials
KEPT = 4  # one trial in so many rises from a rung of halving to the next
BASELINE, SUITS = "baseline", "suits"  # trial attributes: a known recipe's name, and the epochs that it is best at
NEAR = 25  # trials, half of the usual 50, that are drawn near a recipe
UNIFORM_EVERY = 5  # one draw of so many comes from the whole space
REDRAWN = 3  # parameters in which a near draw differs from its recipe
TRIES = 20  # to draw what no trial has had

Named = tuple[str, Mapping[str, Any]]
"""A name, and the values of the parameters that vary, no others."""


class PriorSampler(BaseSampler):
    """The first draws are known recipes with a few values drawn anew, the later ones another sampler's.

    Prior knowledge first, as in PriorBand (arXiv 2306.12370). One draw in UNIFORM_EVERY is random instead, so that
    what nobody knew can be found, and the other sampler learns what is bad. A near draw starts, in turns, from the
    known recipe that suits the final training and from the study's best trial so far.
    """

    def __init__(self, later: BaseSampler, *, seed: int, final_epochs: int) -> None:
        self._later, self._final_epochs = later, final_epochs
        self._uniform, self._random = RandomSampler(seed=seed), Random(seed)  # noqa: S311 no secret is drawn

    def reseed_rng(self) -> None:
        self._later.reseed_rng()
        self._uniform.reseed_rng()
        self._random.seed()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._later.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._later.after_trial(study, trial, state, values)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if self._is_uniform(trial):
            return {}
        if recipe := self._recipe(study, trial):
            return dict(recipe.distributions)
        return self._later.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if self._is_uniform(trial):
            return {}
        recipe = self._recipe(study, trial)
        if recipe is None:
            return self._later.sample_relative(study, trial, search_space)
        tried = [other.params for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        for _ in range(TRIES):
            anew = self._random.sample(sorted(search_space), min(REDRAWN, len(search_space)))
            drawn = {name: self._uniform.sample_independent(study, trial, name, search_space[name]) for name in anew}
            if (near := {**recipe.params, **drawn}) not in tried:
                break
        return near

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        uniform = self._is_uniform(trial) or trial.number < NEAR
        sampler = self._uniform if uniform else self._later
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _is_uniform(self, trial: FrozenTrial) -> bool:
        return trial.number % UNIFORM_EVERY == UNIFORM_EVERY - 1

    def _recipe(self, study: optuna.Study, trial: FrozenTrial) -> FrozenTrial | None:
        """The trial near which this one is drawn; None where the draw is the other sampler's, or nothing is known."""
        if trial.number >= NEAR:
            return None
        others = [other for other in study.get_trials(deepcopy=False) if other.params and other.number != trial.number]
        ended = [other for other in others if other.state == TrialState.COMPLETE]
        if ended and trial.number % 2:
            return max(ended, key=lambda other: other.values[0])
        known = [other for other in others if BASELINE in other.user_attrs]
        return min(known, key=lambda other: apart(other.user_attrs, self._final_epochs), default=None)


def apart(attributes: Mapping[str, Any], epochs: int) -> float:
    """How far from so many epochs the length lies that a recipe is best at, on a log scale; infinite if unknown."""
    suits = attributes.get(SUITS)
    return abs(math.log(suits / epochs)) if isinstance(suits, int | float) and suits > 0 else math.inf


def _tpe(seed: int, trials: int, conditional: bool) -> BaseSampler:
    return TPESampler(
        seed=seed,
        n_startup_trials=max(STARTUP_TRIALS, trials * 15 // 100),
        multivariate=True,
        group=conditional,  # without it a conditional parameter is drawn alone
        constant_liar=True,  # running trials count as poor, so that parallel slots spread out
    )


def _qmc(seed: int, conditional: bool) -> BaseSampler:
    if conditional:
        raise StudyError("sampler qmc covers a space without `when:` only; take --sampler tpe or random")
    # Scrambled: the first point of the plain sequence is every parameter's lower end.
    return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


SAMPLERS: dict[str, Callable[[int, int, bool, int], BaseSampler]] = {
    "prior": lambda seed, trials, conditional, final_epochs: PriorSampler(
        _tpe(seed, trials, conditional), seed=seed, final_epochs=final_epochs
    ),
    "tpe": lambda seed, trials, conditional, _: _tpe(seed, trials, conditional),
    "random": lambda seed, *_: RandomSampler(seed=seed),
    "qmc": lambda seed, _, conditional, __: _qmc(seed, conditional),
}
"""Optuna's GP is not here: it learns from no pruned or failed trial, and would load torch in the supervisor."""


def make_sampler(name: str, *, seed: int, trials: int, conditional: bool, final_epochs: int = 1) -> BaseSampler:
    """The sampler for a study of so many trials and a final training of so many epochs. Raises StudyError.

    `conditional`: the space has `when:`.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # tpe's `group`, and qmc
        return SAMPLERS[name](seed, trials, conditional, final_epochs)


def _first_rung(epochs: int) -> int:
    return max(1, epochs // KEPT**2)


def rungs(pruner: str, *, epochs: int) -> tuple[int, ...]:
    """The epochs before the last after which halving decides; none for a pruner that decides after each."""
    if pruner != "halving":
        return ()
    powers = (_first_rung(epochs) * KEPT**power for power in count())
    return tuple(takewhile(lambda rung: rung < epochs, powers))


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
    "halving": lambda _, epochs: SuccessiveHalvingPruner(min_resource=_first_rung(epochs), reduction_factor=KEPT),
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


def chosen(
    baselines: Sequence[Named],
    *,
    queued: Collection[str],
    tried: Iterable[Mapping[str, Any]],
    first: Collection[str],
    room: int,
) -> tuple[list[Named], list[str]]:
    """The named values to queue, each once, and a sentence for each of `first` that a trial has already.

    `queued` are names that were queued before; where there is no room for all, those named in `first` are taken.
    """
    known = [*tried, *(values for name, values in baselines if name in queued)]
    new, needless = dict[str, Mapping[str, Any]](), list[str]()
    for name, values in dict(baselines).items():
        if name not in queued and values not in (*known, *new.values()):
            new[name] = values
        elif name not in queued and name in first:
            needless.append(f"{name} is not queued: a trial has the same values")
    taken = sorted(new, key=lambda name: name not in first)[:room]
    return [(name, values) for name, values in new.items() if name in taken], needless
