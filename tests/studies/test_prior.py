"""The default sampler begins near the recipe that suits the final training, and never quite stops to look elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from tiny import Start

from studies.algorithms import NEAR, REDRAWN, UNIFORM_EVERY
from studies.study import Study

NAMES = tuple("abcdef")
SHORT, LONG = (dict.fromkeys(NAMES, share) for share in (0.25, 0.75))
TRIALS = 32


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    numbers = {name: trial.suggest_float(name, 0, 1) for name in NAMES}
    if numbers["a"] == 0.75:
        trial.suggest_categorical("only near", ["x", "y"])
    return numbers


def searched(study: Study) -> list[Mapping[str, Any]]:
    """The values of all trials; the nearer to 0.75, the better a trial is."""
    study.enqueue([("short", SHORT), ("long", LONG)], suits={"short": 2, "long": 30})
    while asked := study.ask(suggest):
        accuracy = 1 - sum(abs(asked.values[name] - 0.75) for name in NAMES) / 6
        for epoch in range(1, study.manifest.epochs + 1):
            study.report(asked.number, epoch=epoch, accuracy=accuracy)
        study.complete(asked.number)
    return [trial.values for trial in study.history().trials]


def redrawn(values: Mapping[str, Any], recipe: Mapping[str, float]) -> int:
    return sum(values[name] != recipe[name] for name in NAMES)


def test_near_draws_change_a_few_values_of_what_suits_and_of_the_best(start: Start) -> None:
    with start(sampler="prior", trials=TRIALS, final_epochs=25, conditional=True) as study:
        values = searched(study)
    assert values[:2] == [SHORT, LONG]
    near = [number for number in range(2, NEAR) if number % UNIFORM_EVERY != UNIFORM_EVERY - 1]
    assert all(1 <= redrawn(values[number], LONG) <= REDRAWN for number in near), "it suits, and stays the best"
    others = [number for number in range(2, TRIALS) if number not in near]
    assert all(redrawn(values[number], LONG) > REDRAWN for number in others)
    assert len({str(drawn) for drawn in values}) == TRIALS, "no trial repeats another"


def test_for_a_short_final_training_it_begins_elsewhere(start: Start) -> None:
    with start(sampler="prior", trials=12, final_epochs=3, conditional=True) as study:
        values = searched(study)
    assert all(redrawn(values[number], SHORT) <= REDRAWN for number in (2, 6, 8, 10))
    assert all(redrawn(values[number], LONG) <= REDRAWN for number in (3, 5, 7, 11)), "the best so far, in turns"
