"""A pruner stops a poor trial at the epoch it should, and keeps a good one."""

from __future__ import annotations

import optuna
import pytest

from studies import StudyError
from studies.algorithms import PRUNERS, make_pruner


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
    [("median", 3, 1), ("median", 4, 2), ("median", 10, 3), ("halving", 3, 1), ("halving", 9, 1), ("halving", 27, 3)],
)
def test_poor_trial_stops_at_the_first_decision(name: str, epochs: int, epoch: int) -> None:
    assert first_prune(name, epochs=epochs, accuracy=0.3) == epoch


@pytest.mark.parametrize("name", PRUNERS)
def test_best_trial_goes_on(name: str) -> None:
    assert first_prune(name, epochs=9, accuracy=0.9, trials=100) is None


def test_none_never_prunes() -> None:
    assert first_prune("none", epochs=9, accuracy=0.0) is None


def test_hyperband_needs_trials() -> None:
    make_pruner("hyperband", trials=100, epochs=9)
    with pytest.raises(StudyError, match="at least 100 trials, not 50"):
        make_pruner("hyperband", trials=50, epochs=9)


def test_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(StudyError, match=r"'medium'; did you mean 'median'\? known: median, halving, hyperband, none"):
        make_pruner("medium", trials=50, epochs=9)
