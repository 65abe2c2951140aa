"""What mattered is separated from chance, and what cannot be told is not told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import optuna
import pytest

from studies.importance import Importance, Verdict, importances

Trials = list[tuple[Mapping[str, Any], float]]


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def suggest(trial: Any) -> None:
    """`depth` is there for kind b only; `only` does not vary."""
    trial.suggest_float("rate", 1e-3, 1.0, log=True)
    trial.suggest_float("left", 0.0, 1.0)
    trial.suggest_int("idle", 1, 8)
    trial.suggest_categorical("only", ("c",))
    if trial.suggest_categorical("kind", ("a", "b")) == "b":
        trial.suggest_int("depth", 1, 8)


def trials(count: int, *, accuracy: Callable[[Mapping[str, Any]], float], left: float = 1.0, seed: int = 0) -> Trials:
    """Random draws, those of `left` from a part of its range only."""
    rng, drawn = Random(seed), []
    for _ in range(count):
        values = {"rate": 10 ** rng.uniform(-3, 0), "left": rng.uniform(0, left), "idle": rng.randint(1, 8)}
        values |= {"only": "c", "kind": rng.choice("ab")}
        values |= {"depth": rng.randint(1, 8)} if values["kind"] == "b" else {}
        drawn.append((values, accuracy(values)))
    return drawn


def verdicts(rows: tuple[Importance, ...]) -> dict[str, Verdict]:
    return {row.name: row.verdict for row in rows}


def test_the_parameter_that_decides_matters_and_no_other() -> None:
    drawn = trials(60, accuracy=lambda values: values["rate"])
    rows = importances(drawn, suggest=suggest)
    assert rows == importances(drawn, suggest=suggest)
    assert (rows[0].name, rows[0].verdict, rows[0].trials) == ("rate", "matters", 60)
    assert rows[0].value > rows[0].chance_high > rows[0].chance_low
    assert {row.verdict for row in rows[1:]} == {"never mattered", "cannot be told"}
    assert {row.name for row in rows} == {"rate", "left", "idle", "kind", "depth"}  # `only` does not vary


def test_of_fewer_than_twenty_trials_nothing_is_told() -> None:
    few = importances(trials(19, accuracy=lambda values: values["rate"]), suggest=suggest)
    assert set(verdicts(few).values()) == {"cannot be told"}
    (depth,) = (row for row in importances(trials(30, accuracy=lambda _: 0.5), suggest=suggest) if row.name == "depth")
    assert depth.trials < 20
    assert depth.verdict == "cannot be told"


def test_what_the_sampler_left_alone_is_not_said_to_be_idle() -> None:
    """All complete trials have good values of `left`: the best look like all of them, but not like the whole range."""
    for seed in range(5):
        drawn = trials(40, accuracy=lambda values: values["rate"], left=0.2, seed=seed)
        assert verdicts(importances(drawn, suggest=suggest))["left"] != "never mattered"


def test_by_chance_alone_little_is_told() -> None:
    rng, found = Random(0), []
    for seed in range(8):
        drawn = trials(24, accuracy=lambda _: rng.random(), seed=seed)
        found += verdicts(importances(drawn, suggest=suggest)).values()
    assert found.count("matters") <= 3  # of 40, each by chance once in 51 times
    assert found.count("never mattered") <= 16  # each by chance once in 4 times
