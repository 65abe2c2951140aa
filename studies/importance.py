"""Which parameters mattered for reaching the best quarter of the trials, by PED-ANOVA (arXiv 2304.10255)."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import quantiles
from typing import Any, Literal

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FixedTrial, create_trial

BEST = 0.25  # share of the trials that counts as the best
LEAST = 20  # trials that have a parameter: PED-ANOVA needs five in the best quarter
SHUFFLES = 50

Verdict = Literal["matters", "never mattered", "cannot be told"]


@dataclass(frozen=True)
class Importance:
    """How much the values of one parameter in the best quarter differ from those of all trials (Pearson divergence)."""

    name: str
    trials: int  # complete trials that have the parameter
    value: float
    chance_low: float  # lower quartile of the values with shuffled accuracies
    chance_high: float  # the largest of them
    verdict: Verdict


def importances(
    trials: Sequence[tuple[Mapping[str, Any], float]], *, suggest: Callable[[FixedTrial], object]
) -> tuple[Importance, ...]:
    """The importance of each parameter that `suggest` varies, from complete trials: stored values and accuracy."""
    study, varying = optuna.create_study(), Counter[str]()
    for values, accuracy in trials:
        fixed = FixedTrial(dict(values))
        suggest(fixed)
        study.add_trial(create_trial(value=accuracy, params=fixed.params, distributions=fixed.distributions))
        varying.update(name for name, distribution in fixed.distributions.items() if not distribution.single())
    accuracies, rng = [accuracy for _, accuracy in trials], Random(0)  # noqa: S311 - nothing secret
    values, from_range = _ped_anova(study, accuracies), _ped_anova(study, accuracies, from_range=True)
    shuffled = [_ped_anova(study, rng.sample(accuracies, k=len(trials))) for _ in range(SHUFFLES)]
    rows = []
    for name, count in varying.items():
        chance = [importance[name] for importance in shuffled]
        value, low, high = values[name], quantiles(chance, n=4)[0], max(chance)
        verdict: Verdict = "cannot be told"
        if count >= LEAST and value > high:
            verdict = "matters"
        elif count >= LEAST and value < low and from_range[name] < high:
            verdict = "never mattered"
        rows.append(Importance(name, count, value, low, high, verdict))
    return tuple(sorted(rows, key=lambda row: (-row.value, row.name)))


def _ped_anova(study: optuna.Study, accuracies: Sequence[float], *, from_range: bool = False) -> dict[str, float]:
    """The importances, not normalised: the share of one parameter would fall when another one rises.

    `from_range` compares the best quarter with random draws from the range instead of all trials. It finds parameters
    of which the sampler or the pruner left only good values among the complete trials.
    """
    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST, evaluate_on_local=not from_range)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about conditional parameters, `target`, and `normalize` as an experiment
        return get_param_importances(
            study, evaluator=evaluator, normalize=False, target=lambda trial: -accuracies[trial.number]
        )
