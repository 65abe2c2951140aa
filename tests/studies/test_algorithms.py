"""Samplers draw valid values, the same from the same seed; pruners stop a poor trial and keep a good one."""

from __future__ import annotations

import optuna
import pytest

from studies import StudyError
from studies.algorithms import PRUNERS, SAMPLERS, make_pruner, make_sampler


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


def first_prune(name: str, *, epochs: int, accuracy: float, trials: int = 50) -> int | None:
    """The epoch after which a trial is pruned that follows six complete ones of accuracy 0.5 to 0.6."""
    study = optuna.create_study(direction="maximize", pruner=make_pruner(name, trials=trials, epochs=epochs))
    for index in range(6):
        other = study.ask()
        for epoch in range(1, epochs + 1):
            other.report(0.6 - 0.02 * index, step=epoch)
            other.should_prune()  # successive halving notes who came by a rung
        study.tell(other, 0.6 - 0.02 * index)
    trial = study.ask()
    for epoch in range(1, epochs + 1):
        trial.report(accuracy, step=epoch)
        if trial.should_prune():
            return epoch
    return None


@pytest.mark.parametrize(
    ("name", "epochs", "epoch"),
    [("median", 3, 1), ("median", 4, 2), ("median", 10, 3), ("halving", 3, 1), ("halving", 16, 1), ("halving", 64, 4)],
)
def test_poor_trial_stops_at_the_first_decision(name: str, epochs: int, epoch: int) -> None:
    assert first_prune(name, epochs=epochs, accuracy=0.3) == epoch


@pytest.mark.parametrize(("name", "accuracy"), [*((name, 0.9) for name in PRUNERS), ("none", 0.0)])
def test_the_best_trial_goes_on_and_any_without_a_pruner(name: str, accuracy: float) -> None:
    assert first_prune(name, epochs=9, accuracy=accuracy, trials=100) is None


def test_hyperband_needs_trials() -> None:
    make_pruner("hyperband", trials=100, epochs=9)
    with pytest.raises(StudyError, match="at least 100 trials, not 50"):
        make_pruner("hyperband", trials=50, epochs=9)


def test_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(StudyError, match=r"'tp'; did you mean 'tpe'\? known: prior, tpe, random, qmc"):
        make_sampler("tp", seed=0, trials=50, conditional=False)
    with pytest.raises(StudyError, match=r"'medium'; did you mean 'median'\? known: median, halving, hyperband, none"):
        make_pruner("medium", trials=50, epochs=9)
