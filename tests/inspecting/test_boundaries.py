"""Best trials at the end of a range are told from chance, and the range reaches as far as its field allows."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from search.candidate import checks
from search.inspecting.boundaries import Side, ends, holm, tail, widened
from spaces.parameter import Choice, Fixed, Float, Integer, Kind, Ordered, Parameter
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
    return Space(
        "some", "some.yaml", "Some", "fast", None, tuple(Parameter(name, kind) for name, kind in kinds.items())
    )


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0.001, 0.999))
def test_the_tail_is_the_binomial_one(successes: int, tries: int, share: float) -> None:
    assert tail(successes, tries, share) == pytest.approx(binom.sf(successes - 1, tries, share), abs=1e-12)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.02, 0.03, 0.5]) == pytest.approx([0.04, 0.06, 0.06, 0.5])
    assert holm([0.3, 0.4]) == [0.6, 0.6]
    assert holm([]) == []


@pytest.mark.parametrize("name", KINDS)
def test_the_share_of_an_end_is_how_often_draws_lie_there(name: str) -> None:
    rng, count = Random(0), 4000
    draws = [{name: KINDS[name].sample(rng)} for _ in range(count)]
    for end in ends(space(**{name: KINDS[name]}), draws, least=1):
        assert end.there / count == pytest.approx(end.share, abs=4 * (end.share / count) ** 0.5)
        assert end.share > 0.3 or end.share == pytest.approx(0.1, abs=0.12)
        assert not end.pressed


@pytest.mark.parametrize(
    ("name", "value", "side"),
    [
        ("real", 11.5, "high"),
        ("real", 2.9, "low"),
        ("log", 0.0019, "low"),  # within a tenth of the decades, not of the range
        ("stepped", 1.0, "high"),
        ("wide", 9, "low"),
        ("huge", 10**6 - 5, "high"),
        ("log whole", 70, "low"),
        ("ordered", "huge", "high"),
    ],
)
def test_values_at_an_end_press_against_it(name: str, value: Any, side: Side) -> None:
    found = ends(space(**{name: KINDS[name], "other": Choice((1, 2)), "still": Fixed(3)}), [{name: value}] * 8, least=5)
    assert [(end.name, end.side, end.there, end.pressed) for end in found] == [
        (name, side, 8, True),
        (name, "low" if side == "high" else "high", 0, False),
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("real", 10.9), ("log", 0.1), ("stepped", 0.75), ("wide", 10), ("whole", 2)]
)
def test_values_that_are_only_near_an_end_do_not(name: str, value: Any) -> None:
    assert not any(end.there for end in ends(space(**{name: KINDS[name]}), [{name: value}] * 8, least=5))


def test_many_parameters_need_stronger_evidence() -> None:
    best = [{f"p{index}": 0.95 if trial < 4 and index == 0 else 0.5 for index in range(30)} for trial in range(8)]
    alone = ends(space(p0=Float(0, 1)), best, least=5)[0]
    among = ends(space(**{f"p{index}": Float(0, 1) for index in range(30)}), best, least=5)[0]
    assert alone.p == among.p == pytest.approx(tail(4, 8, 0.1))
    assert (alone.pressed, among.pressed) == (True, False)


def test_a_parameter_that_few_of_the_best_have_is_left_out() -> None:
    assert ends(space(p=Float(0, 1)), [{"p": 1.0}] * 4 + [{}] * 20, least=5) == ()


@pytest.mark.parametrize(
    ("field", "kind", "side", "wider"),
    [
        ("recipe.warmup", Float(0.25, 0.5), "high", Float(0.25, 0.75)),
        ("recipe.warmup", Float(0.1, 0.4), "low", Float(0.0, 0.4)),  # as far as the field allows
        ("recipe.momentum", Float(0.8, 0.95), "high", Float(0.8, 0.975)),  # 1 itself is not allowed: half of the way
        ("recipe.label_smoothing", Float(0.0, 0.25), "low", None),
        ("recipe.learning_rate", Float(4.0, 24.0, log=True), "high", Float(4.0, 144.0, log=True)),
        ("recipe.learning_rate", Float(4.0, 24.0, log=True), "low", Float(0.666667, 24.0, log=True)),
        ("recipe.learning_rate", Float(100.0, 900.0, log=True), "high", Float(100.0, 1000.0, log=True)),
        ("recipe.hue", Float(0.1, 0.4, step=0.1), "high", Float(0.1, 0.5, step=0.1)),
        ("architecture.width.1", Integer(16, 40, step=8), "high", Integer(16, 64, step=8)),
        ("architecture.width.1", Integer(16, 40, step=8), "low", Integer(8, 40, step=8)),
        ("architecture.width.1", Integer(64, 512, log=True), "low", Integer(8, 512, log=True)),
        ("architecture.width.1", Integer(64, 2560, log=True), "high", Integer(64, 4096, log=True)),
        ("recipe.translate", Integer(0, 6), "high", Integer(0, 8)),
        ("recipe.translate", Integer(0, 8), "high", None),
        ("architecture.width.1", Ordered((16, 32, 64)), "high", Ordered((16, 32, 64, 128, 256))),
        ("architecture.width.1", Ordered((2, 4, 8, 16)), "low", Ordered((1, 2, 4, 8, 16))),
        ("architecture.width.1", Ordered((16, 24, 40)), "high", Ordered((16, 24, 40, 56, 72))),
        ("architecture.width.1", Ordered((64, 32, 16)), "low", Ordered((256, 128, 64, 32, 16))),
        ("recipe.dropout", Ordered(("a", "b")), "low", None),
        ("recipe.flip", Choice(("none", "random")), "low", None),
    ],
)
def test_a_range_is_widened_by_itself_within_its_field(field: str, kind: Kind, side: Side, wider: Kind | None) -> None:
    assert widened(kind, side, check=checks("fast").get(field, lambda _: None)) == wider


def test_a_range_that_would_have_too_many_steps_stays() -> None:
    assert widened(Float(0.0, 6e5, step=1.0), "high", check=lambda _: None) is None
