"""Which parameters mattered for reaching the best quarter of a study's trials, and how sure that is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from studies.history import find_study
from studies.storage import opened

BEST = 0.25  # share of the trials that counts as the best; below 20 trials too few for PED-ANOVA, which wants five
LEAST = 20  # complete trials that have a parameter, below which nothing can be told of it
RESAMPLES = 100

EVEN = 0.05  # p below which the sampler did not draw evenly
BINS = 4  # parts of a range, of 20 trials five in each

Verdict = Literal["matters", "never mattered", "cannot be told"]


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Of one parameter by PED-ANOVA (arXiv 2304.10255): how far its values part in the best quarter from those of all.

    `value` and what it is held against are Pearson divergences, times the square of the quarter's share.
    """

    name: str
    share: float  # of the sum over all parameters
    value: float
    low: float  # 5th percentile over resampled trials
    high: float  # 95th
    noise: float  # 95th percentile over shuffled accuracies: what mere chance reaches in one of twenty cases
    even: float  # p of the chi-squared test that the sampler drew evenly from the range
    trials: int  # complete trials that have the parameter

    @property
    def verdict(self) -> Verdict:
        """Whether the whole interval lies above or below the noise.

        The repeats among resampled trials alone make a parameter look more important, so that `never mattered` is said
        too seldom rather than too often. It is not said of what the sampler had learnt to leave alone: against such
        trials the best quarter does not stand out.
        """
        if self.trials >= LEAST and self.low > self.noise:
            return "matters"
        if self.trials >= LEAST and self.high < self.noise and self.even >= EVEN:
            return "never mattered"
        return "cannot be told"


def importances(name: str, *, storage: str, resamples: int = RESAMPLES, seed: int = 0) -> tuple[Importance, ...]:
    """Of every parameter that varied in the complete, feasible trials of a study, the most important first.

    Raises StudyError, StorageError.
    """
    with opened(storage, read_only=True) as database:
        with database.engine.connect() as connection:
            find_study(name, connection=connection)
        study = optuna.load_study(study_name=name, storage=database)
        trials = [
            _bare(trial)
            for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if _feasible(trial)
        ]
    return rank(trials, resamples=resamples, rng=Random(seed))  # noqa: S311 - nothing secret


def rank(trials: Sequence[FrozenTrial], *, resamples: int, rng: Random) -> tuple[Importance, ...]:
    """The same of trials with one value each, the higher the better."""
    counts: dict[str, int] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            counts[name] = counts.get(name, 0) + (not distribution.single())
    if len(trials) < 2:
        return ()
    found = _importances(trials)
    whole = sum(found.values()) or 1.0
    drawn = [_importances(rng.choices(trials, k=len(trials))) for _ in range(resamples)]
    chance = [_importances(_shuffled(trials, rng)) for _ in range(resamples)]
    return tuple(
        Importance(
            name=name,
            share=found[name] / whole,
            value=found[name],
            low=_percentile(5, drawn, name),
            high=_percentile(95, drawn, name),
            noise=_percentile(95, chance, name),
            even=_evenness(trials, name),
            trials=counts[name],
        )
        for name in sorted(found, key=lambda name: (-found[name], name))
        if counts[name]
    )


def _importances(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Unscaled, since a parameter's share would fall with another one's importance."""
    study = optuna.create_study(direction="maximize")
    study.add_trials(trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a conditional parameter is seldom there
        warnings.simplefilter("ignore", ExperimentalWarning)  # `normalize`
        return get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=BEST), normalize=False
        )


def _feasible(trial: FrozenTrial) -> bool:
    return all(value <= 0 for value in trial.constraints.values())


def _bare(trial: FrozenTrial) -> FrozenTrial:
    """Its parameters and its accuracy, which is quick to copy."""
    assert trial.values is not None
    return create_trial(value=trial.values[0], params=trial.params, distributions=trial.distributions)


def _shuffled(trials: Sequence[FrozenTrial], rng: Random) -> list[FrozenTrial]:
    values = rng.sample([trial.value for trial in trials], k=len(trials))
    return [
        create_trial(value=value, params=trial.params, distributions=trial.distributions)
        for trial, value in zip(trials, values, strict=True)
    ]


def _percentile(percent: int, found: Sequence[Mapping[str, float]], name: str) -> float:
    """The value that so many percent of the resamples do not exceed; one without the parameter counts as 0."""
    values = sorted(importance.get(name, 0.0) for importance in found)
    return values[-(-percent * len(values) // 100) - 1]


def _evenness(trials: Sequence[FrozenTrial], name: str) -> float:
    """Of the trials that have the parameter in its most frequent range."""
    from scipy.stats import chisquare

    ranges = [trial.distributions[name] for trial in trials if name in trial.distributions]
    range_ = max(ranges, key=ranges.count)
    shares = _shares(range_)
    seen = [0] * len(shares)
    for trial in trials:
        if trial.distributions.get(name) == range_:
            seen[_bin(range_, trial.params[name])] += 1
    return float(chisquare(seen, [share * sum(seen) for share in shares]).pvalue)


def _shares(range_: BaseDistribution) -> list[float]:
    """How much of an even draw falls into each part of a range."""
    if isinstance(range_, CategoricalDistribution):
        return [1 / len(range_.choices)] * len(range_.choices)
    if (places := _places(range_)) is None:
        return [1 / BINS] * BINS
    parts = [place * min(BINS, places) // places for place in range(places)]
    return [parts.count(part) / places for part in range(min(BINS, places))]


def _bin(range_: BaseDistribution, value: Any) -> int:
    """The part of a range that a value lies in."""
    if isinstance(range_, CategoricalDistribution):
        return tuple(range_.choices).index(value)
    assert isinstance(range_, FloatDistribution | IntDistribution)
    if (places := _places(range_)) is not None:
        assert range_.step is not None
        place: int = round((value - range_.low) / range_.step)
        return place * min(BINS, places) // places
    half = 0.5 if isinstance(range_, IntDistribution) else 0.0  # Optuna rounds, to the ends too
    scale = math.log if range_.log else float
    low, high = scale(range_.low - half), scale(range_.high + half)
    return min(int(BINS * (scale(value) - low) / (high - low)), BINS - 1)


def _places(range_: BaseDistribution) -> int | None:
    """How many values a range has; None without steps, or by logarithm."""
    assert isinstance(range_, FloatDistribution | IntDistribution)
    return None if range_.log or range_.step is None else round((range_.high - range_.low) / range_.step) + 1
