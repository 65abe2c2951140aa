"""Best trials at the end of a range are told from chance, and the range reaches as far as its field allows."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from scipy.stats import binom

from search.candidate import field_bounds
from search.inspecting.advise import Side, crowded_ends, widened
from spaces.parameter import Choice, Fixed, Float, Integer, Kind, Ordered, Parameter, RandomTrial
from spaces.space import Space

KINDS: dict[str, Kind] = {
    "real": Float(2.0, 12.0),
    "log": Float(0.001, 1.0, log=True),
    "stepped": Float(0.0, 1.0, step=0.25),
    "whole": Integer(1, 3),
    "wide": Integer(0, 99),
    "huge": Integer(0, 10**6),
    "log whole": Integer(64, 512, log=True),
    "ordered": Ordered(("small", "large", "huge")),
}


def space(**kinds: Kind) -> Space:
    parameters = tuple(Parameter(name, kind) for name, kind in kinds.items())
    return Space("some", "some.yaml", "Some", "fast", None, parameters)


@pytest.mark.parametrize("name", KINDS)
def test_random_draws_do_not_crowd(name: str) -> None:
    rng = Random(0)
    assert (
        crowded_ends(space(**KINDS), [{name: KINDS[name].suggest(name, RandomTrial(rng))} for _ in range(4000)]) == ()
    )


@pytest.mark.parametrize(
    ("name", "value", "side", "share"),
    [
        ("real", 11.5, "high", 0.1),
        ("real", 2.9, "low", 0.1),
        ("log", 0.0019, "low", 0.1),  # within a tenth of the decades, not of the range
        ("stepped", 1.0, "high", 0.2),
        ("wide", 9, "low", 0.1),
        ("huge", 10**6 - 5, "high", 0.1),
        ("log whole", 70, "low", 0.1),
        ("ordered", "huge", "high", 1 / 3),
    ],
)
def test_values_at_an_end_crowd_there(name: str, value: Any, side: Side, share: float) -> None:
    kinds = {name: KINDS[name], "other": Choice((1, 2)), "still": Fixed(3)}
    (test,) = crowded_ends(space(**kinds), [{name: value, "other": 1, "still": 3}] * 8)
    assert (test.name, test.side, test.at_end, test.best) == (name, side, 8, 8)
    assert test.expected == pytest.approx(8 * share)
    assert test.p == pytest.approx(2 * share**8)  # by Holm for two ends


@pytest.mark.parametrize(
    ("name", "value"), [("real", 10.9), ("log", 0.1), ("stepped", 0.75), ("wide", 10), ("whole", 2)]
)
def test_values_that_are_only_near_an_end_do_not(name: str, value: Any) -> None:
    assert crowded_ends(space(**{name: KINDS[name]}), [{name: value}] * 8) == ()


def test_many_parameters_need_stronger_evidence() -> None:
    best = [{f"p{index}": 0.95 if trial < 4 and index == 0 else 0.5 for index in range(30)} for trial in range(8)]
    (alone,) = crowded_ends(space(p0=Float(0, 1)), best)
    assert alone.p == pytest.approx(2 * binom.sf(3, 8, 0.1))
    assert crowded_ends(space(**{f"p{index}": Float(0, 1) for index in range(30)}), best) == ()


def test_a_parameter_that_few_of_the_best_have_is_left_out() -> None:
    assert crowded_ends(space(p=Float(0, 1)), [{"p": 1.0}] * 4 + [{}] * 20) == ()


@pytest.mark.parametrize(
    ("field", "kind", "side", "wider"),
    [
        ("recipe.warmup", Float(0.25, 0.5), "high", Float(0.25, 0.75)),
        ("recipe.warmup", Float(0.1, 0.4), "low", Float(0.0, 0.4)),  # as far as the field allows
        ("recipe.momentum", Float(0.8, 0.95), "high", Float(0.8, 0.995)),  # 1 itself is not allowed
        ("recipe.label_smoothing", Float(0.0, 0.25), "low", None),
        ("recipe.learning_rate", Float(4.0, 24.0, log=True), "high", Float(4.0, 144.0, log=True)),
        ("recipe.learning_rate", Float(4.0, 24.0, log=True), "low", Float(0.666666667, 24.0, log=True)),
        ("recipe.learning_rate", Float(100.0, 900.0, log=True), "high", Float(100.0, 1000.0, log=True)),
        ("recipe.hue", Float(0.1, 0.4, step=0.1), "high", Float(0.1, 0.5, step=0.1)),
        ("architecture.width.1", Integer(16, 40, step=8), "high", Integer(16, 64, step=8)),
        ("architecture.width.1", Integer(16, 40, step=8), "low", Integer(8, 40, step=8)),
        ("architecture.width.1", Integer(64, 512, log=True), "low", Integer(8, 512, log=True)),
        ("architecture.width.1", Integer(64, 2560, log=True), "high", Integer(64, 4096, log=True)),
        ("architecture.kernel.1", Integer(1, 5, step=2), "high", None),  # the field has a list of options
        ("recipe.translate", Integer(0, 6), "high", Integer(0, 8)),
        ("recipe.translate", Integer(0, 8), "high", None),
        ("recipe.batch_size", Ordered((16, 32, 64)), "high", None),
    ],
)
def test_a_range_is_widened_by_itself_within_its_field(field: str, kind: Kind, side: Side, wider: Kind | None) -> None:
    assert widened(kind, side, bounds=field_bounds("fast", field)) == wider
