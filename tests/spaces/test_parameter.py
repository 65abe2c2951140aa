"""Kinds of parameter: what they refuse, what they draw, what they recognise."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.parameter import (
    Choice,
    Fixed,
    Float,
    Integer,
    Kind,
    KindError,
    Ordered,
    Parameter,
    RandomTrial,
    Value,
    shown,
)

optuna.logging.set_verbosity(optuna.logging.ERROR)


def drawn(kind: Kind, rng: Random) -> Value:
    return kind.suggest("any", RandomTrial(rng))


@st.composite
def kinds(draw: st.DrawFn) -> Kind:
    """Any kind that can be, steps and logarithms included."""
    ranges = ["even", "log", "step", "integer", "integer log", "integer step"]
    which = draw(st.sampled_from([*ranges, "choice", "ordered", "fixed"]))
    if which in ("choice", "ordered"):
        options = draw(st.lists(st.text() | st.integers(2) | st.booleans(), min_size=2, unique=True))
        return Choice(tuple(options)) if which == "choice" else Ordered(tuple(options))
    if which == "fixed":
        return Fixed(draw(st.text() | st.booleans()))
    if which in ("even", "log"):
        ends = sorted(draw(st.lists(st.floats(1e-9, 1e6), min_size=2, max_size=2, unique=True)))
        return Float(ends[0], ends[1], log=which == "log")
    low, steps = draw(st.integers(1, 1000)), draw(st.integers(1, 500))
    if which == "step":
        step = Decimal(draw(st.integers(1, 1000))) / 1000
        return Float(low, float(low + steps * step), step=float(step))
    step = draw(st.integers(1, 30)) if which == "integer step" else 1
    return Integer(low, low + steps * step, step=step, log=which == "integer log")


@given(kinds(), st.randoms(use_true_random=False))
def test_what_is_sampled_is_contained(kind: Kind, rng: Random) -> None:
    assert all(kind.contains(drawn(kind, rng)) for _ in range(20))


@given(st.lists(kinds(), min_size=1, max_size=5), st.integers(0, 1000))
def test_what_optuna_suggests_is_contained(several: list[Kind], seed: int) -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    for number, kind in enumerate(several):
        value = kind.suggest(str(number), trial)
        assert kind.contains(value), (kind, value)
        assert (str(number) in trial.params) is not isinstance(kind, Fixed)


def test_the_sampler_sees_ordered_options_as_positions_and_values_hold_the_option() -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask({})
    kind = Ordered(("none", "skip_connect", "avg_pool_3x3"))
    value = kind.suggest("edge", trial)
    assert trial.distributions == {"edge": optuna.distributions.IntDistribution(0, 2)}
    assert (trial.params["edge"], value) == (kind.position(value), kind.options[trial.params["edge"]])


def test_a_range_reaches_both_ends() -> None:
    rng = Random(0)
    for kind in (Integer(1, 3), Integer(1, 3, log=True), Integer(1, 5, step=2)):
        assert {kind.low, kind.high} <= {drawn(kind, rng) for _ in range(300)}
    assert {drawn(Ordered((16, 32, 64)), rng) for _ in range(100)} == {16, 32, 64}
    assert {drawn(Float(0.8, 0.9, step=0.05), rng) for _ in range(100)} == {0.8, 0.85, 0.9}


@pytest.mark.parametrize(
    ("make", "field", "words"),
    [
        (lambda: Float(1, 0), "bounds", "low < high"),
        (lambda: Float(float("nan"), 1), "bounds", "low < high"),
        (lambda: Float(-1e308, 1e308), "bounds", "low < high"),
        (lambda: Float(0, 1, log=True), "log", "needs low > 0"),
        (lambda: Float(0.1, 1, log=True, step=0.1), "step", "takes no step"),
        (lambda: Float(0, 1, step=0), "step", "above 0"),
        (lambda: Float(0, 1, step=float("nan")), "step", "above 0"),
        (lambda: Float(0, 1, step=0.3), "step", "must divide 0.0 .. 1.0"),
        (lambda: Float(0, 1, step=2), "step", "must divide"),
        (lambda: Float(0, 1e300, step=1e-300), "step", "at most 1000000 parts"),
        (lambda: Integer(4, 2), "bounds", "low < high"),
        (lambda: Integer(0, 2, log=True), "log", "needs low > 0"),
        (lambda: Integer(1, 8, step=2), "step", "must divide 1 .. 8"),
        (lambda: Integer(1, 9, step=2, log=True), "step", "takes no step"),
        (lambda: Choice(()), "options", "at least one"),
        (lambda: Choice(("a", "a")), "options", "must differ"),
        (lambda: Choice((True, 1)), "options", "true equals 1"),
        (lambda: Ordered((16,)), "options", "a single value is written plainly"),
    ],
)
def test_an_impossible_kind_says_why(make: object, field: str, words: str) -> None:
    with pytest.raises(KindError) as caught:
        make()  # type: ignore[operator]
    assert [fault[0] for fault in caught.value.faults] == [field]
    assert words in str(caught.value)


def test_every_fault_of_a_range_is_named() -> None:
    with pytest.raises(KindError) as caught:
        Float(0, -1, log=True, step=0.5)
    assert [fault[0] for fault in caught.value.faults] == ["bounds", "log", "step"]


@pytest.mark.parametrize(
    ("kind", "contained", "others"),
    [
        (Integer(0, 4), (0, 4), (True, 4.0, "1", 5)),
        (Float(0, 4), (0, 4.0), (True, "1", -0.1)),
        (Choice((1, 2)), (1,), (True, 1.0)),
        (Choice((True, False)), (True,), (1, 0)),
        (Choice(("1",)), ("1",), (1,)),
        (Ordered((16, 32)), (16,), (0, 16.0, True)),
        (Ordered((0.0, 0.5)), (0, 0.5), (False,)),
    ],
)
def test_truth_text_and_numbers_are_not_confused(
    kind: Kind, contained: tuple[Value, ...], others: tuple[Value, ...]
) -> None:
    assert all(map(kind.contains, contained))
    assert not any(map(kind.contains, others))


def test_steps_are_recognised_despite_rounding() -> None:
    kind = Float(0.8, 0.95, step=0.01)
    assert kind.contains(0.8 + 3 * 0.01)  # 0.8300000000000001
    assert not kind.contains(0.835)
    assert not kind.contains(0.96)
    assert not Integer(16, 64, step=16).contains(40)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Float(1e-3, 0.1, log=True), "0.001 .. 0.1, log"),
        (Float(0, 1, step=0.25), "0.0 .. 1.0, step 0.25"),
        (Integer(16, 64, step=16), "16 .. 64, step 16"),
        (Integer(16, 64, log=True), "16 .. 64, log"),
        (Choice(("relu", True, 3, "3", "true")), "relu | true | 3 | '3' | 'true'"),
        (Ordered((16, 32, 64)), "16 < 32 < 64"),
        (Ordered(("none", "avg_pool_3x3", "3")), "none < avg_pool_3x3 < '3'"),
        (Fixed(0.5), "0.5"),
    ],
)
def test_a_kind_describes_itself_as_in_the_file(kind: Kind, text: str) -> None:
    assert kind.describe() == text


def test_shown_quotes_what_could_be_taken_for_something_else() -> None:
    assert [*map(shown, ("a", "", "a b", "\x1b[31m", False))] == ["a", "''", "'a b'", r"'\x1b[31m'", "false"]


def test_conditions_are_all_needed_and_exact() -> None:
    parameter = Parameter("c", Fixed(1), {"a": (1, 2), "b": (True,)})
    assert parameter.active({"a": 2, "b": True})
    assert not parameter.active({"a": 2, "b": 1})
    assert not parameter.active({"a": 3, "b": True})
    assert not parameter.active({"b": True})
