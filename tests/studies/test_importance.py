"""What mattered is told from noise, and what cannot be told is not told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial
from tiny import MANIFEST, ask, database, starter

from studies import StudyError, importance
from studies.importance import Importance, importances, rank

RATE, IDLE = FloatDistribution(1e-3, 1.0, log=True), IntDistribution(1, 8)
KIND, ONLY = CategoricalDistribution(("a", "b")), CategoricalDistribution(("c",))


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def trial(value: float, **drawn: tuple[Any, BaseDistribution]) -> FrozenTrial:
    parameters = {name: value for name, (value, _) in drawn.items()}
    distributions = {name: distribution for name, (_, distribution) in drawn.items()}
    return create_trial(value=value, params=parameters, distributions=distributions)


def trials(count: int) -> list[FrozenTrial]:
    """The rate decides, nothing else does; `depth` is there for one kind only."""
    rng, found = Random(0), []
    for _ in range(count):
        rate, kind = 10 ** rng.uniform(-3, 0), rng.choice("ab")
        more: Mapping[str, Any] = {"depth": (rng.randint(1, 8), IDLE)} if kind == "b" else {}
        drawn = {"rate": (rate, RATE), "idle": (rng.randint(1, 8), IDLE), "kind": (kind, KIND), "only": ("c", ONLY)}
        found.append(trial(rate, **drawn, **more))
    return found


def by_name(found: Sequence[Importance]) -> dict[str, Importance]:
    return {row.name: row for row in found}


def test_what_decides_matters_and_the_rest_is_not_said_to() -> None:
    rows = rank(trials(60), resamples=20, rng=Random(0))
    found = by_name(rows)
    assert rows[0].name == "rate"
    assert found["rate"].verdict == "matters"
    assert found["rate"].low > found["rate"].noise
    assert {found[name].verdict for name in ("idle", "kind", "depth")} <= {"never mattered", "cannot be told"}
    assert "only" not in found  # it did not vary
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert found["rate"].trials == 60 > found["depth"].trials > 20


def test_the_same_seed_gives_the_same_numbers() -> None:
    few = trials(25)
    assert rank(few, resamples=5, rng=Random(3)) == rank(few, resamples=5, rng=Random(3))


def test_of_fewer_than_twenty_trials_nothing_is_told() -> None:
    for row in rank(trials(19), resamples=10, rng=Random(0)):
        assert row.verdict == "cannot be told"
    assert rank(trials(1), resamples=1, rng=Random(0)) == ()


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.0, 0.1, "never mattered"), (0.0, 0.2, "cannot be told"), (0.1, 0.4, "cannot be told"), (0.3, 0.4, "matters")],
)
def test_an_interval_stands_on_one_side_of_the_noise_or_says_nothing(low: float, high: float, verdict: str) -> None:
    row = Importance(name="rate", share=0.1, value=0.1, low=low, high=high, noise=0.2, even=0.5, trials=20)
    assert row.verdict == verdict


def test_what_the_sampler_had_learnt_to_leave_alone_is_not_said_to_be_idle() -> None:
    """Of 40 trials 34 are of kind a, as all the best are: against them the best quarter does not stand out."""
    rng = Random(1)
    found = []
    for index in range(40):
        kind = "b" if index % 7 == 6 else "a"
        found.append(trial(rng.random() + (kind == "a"), kind=(kind, KIND), idle=(rng.randint(1, 8), IDLE)))
    (row,) = (row for row in rank(found, resamples=10, rng=Random(0)) if row.name == "kind")
    assert row.even < 0.001
    assert row.verdict == "cannot be told"
    assert replace(row, low=0.0, high=0.5, noise=1.0).verdict == "cannot be told"
    assert replace(row, low=0.0, high=0.5, noise=1.0, even=0.5).verdict == "never mattered"


@pytest.mark.parametrize(
    "range_",
    [
        KIND,
        IDLE,
        RATE,
        IntDistribution(0, 2),
        IntDistribution(0, 5),
        IntDistribution(3, 400, log=True),
        FloatDistribution(-1.0, 1.0),
        FloatDistribution(0.0, 1.0, step=0.1),
    ],
)
def test_random_draws_are_even_and_those_of_one_place_are_not(range_: BaseDistribution) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [study.ask({"it": range_}) for _ in range(400)]
    found = [trial(0.0, it=(one.params["it"], range_)) for one in drawn]
    assert importance._evenness(found, "it") > 0.01
    assert importance._evenness(found[:1] * 40, "it") < 1e-6


def test_only_complete_trials_within_the_limits_are_looked_at(tmp_path: Path) -> None:
    url = database(tmp_path)
    with starter(url)(manifest=replace(MANIFEST, epochs=1)) as study:
        for violation in (None, 1.0, 0.0, -0.5):
            number = ask(study).number
            study.report(number, epoch=1, accuracy=0.1 * number)
            if violation is None:
                study.prune(number)
            else:
                study.complete(number, violations={"flops": violation})
    assert {(row.name, row.trials) for row in importances("tiny", storage=url, resamples=2)} == {
        ("rate", 2),
        ("width", 2),
    }
    with pytest.raises(StudyError, match="no study 'tony'; did you mean 'tiny'"):
        importances("tony", storage=url)
