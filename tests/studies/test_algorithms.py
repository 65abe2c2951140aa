"""Every sampler draws valid values, the same from the same seed."""

from __future__ import annotations

import optuna
import pytest

from studies import StudyError
from studies.algorithms import SAMPLERS, make_sampler


def draw(name: str, *, seed: int, conditional: bool = False) -> list[dict[str, object]]:
    study = optuna.create_study(
        direction="maximize", sampler=make_sampler(name, seed=seed, trials=20, conditional=conditional)
    )
    for _ in range(14):  # past the ten that tpe draws at random
        trial = study.ask()
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        trial.suggest_int("width", 8, 64, step=8)
        if trial.suggest_categorical("flip", ["none", "random"]) == "random" and conditional:
            trial.suggest_float("share", 0, 1)
        study.tell(trial, rate)
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_inside_the_space_and_again_from_the_seed(name: str) -> None:
    drawn = draw(name, seed=1)
    assert all(1e-4 <= values["rate"] <= 1e-1 and values["width"] % 8 == 0 for values in drawn)  # type: ignore[operator]
    assert len({str(values) for values in drawn}) == len(drawn)
    assert drawn == draw(name, seed=1)
    assert drawn != draw(name, seed=2)


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_conditional_space(name: str) -> None:
    drawn = draw(name, seed=1, conditional=True)
    assert all(("share" in values) == (values["flip"] == "random") for values in drawn)


def test_qmc_refuses_a_conditional_space() -> None:
    with pytest.raises(StudyError, match="take --sampler tpe or random"):
        make_sampler("qmc", seed=0, trials=50, conditional=True)


def test_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(StudyError, match=r"'tp'; did you mean 'tpe'\? known: tpe, random, qmc"):
        make_sampler("tp", seed=0, trials=50, conditional=False)
