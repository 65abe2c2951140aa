"""The candidate: from flat values to typed fields, every broken rule said, and back."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import Optimizer

from search.candidate import (
    FAMILIES,
    OPTIMIZERS,
    Bounds,
    Candidate,
    CandidateError,
    Cnn,
    Fast,
    Recipe,
    Value,
    checks,
    field_bounds,
    from_values,
    values_of,
)
from search.candidate.fields import MOST_STAGES


def fast(**values: Value) -> dict[str, Value]:
    """Values of the fast family; `width_1` stands for `architecture.width.1`."""
    named = {f"architecture.{name.replace('_', '.')}": value for name, value in values.items()}
    return {"architecture.family": "fast", **named}


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Nested plain data as flat values; the entries of a tuple count from 1."""
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            yield from ((f"{prefix}{name}.{index}", entry) for index, entry in enumerate(value, start=1))
        else:
            yield f"{prefix}{name}", value


def refusal(values: Mapping[str, Value]) -> str:
    with pytest.raises(CandidateError) as caught:
        from_values(values)
    return str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_named_keeps_its_default(family: str) -> None:
    candidate = from_values({"architecture.family": family})
    assert candidate == Candidate(architecture=FAMILIES[family](), recipe=Recipe())


def test_each_value_arrives_in_its_own_field() -> None:
    values = {"architecture.family": "cnn", "architecture.dropout": 0.25, "architecture.padding": "valid"}
    candidate = from_values({**values, "recipe.learning_rate": 3, "recipe.flip": "none"})
    assert candidate.architecture == Cnn(dropout=0.25, padding="valid")
    assert candidate.recipe == Recipe(learning_rate=3.0, flip="none")


def test_entries_of_a_tuple_are_ordered_by_their_number_not_by_their_place() -> None:
    values = fast(width_3=30, width_1=10, width_2=20, width_4=40, depth_2=3, depth_1=1, depth_3=2)
    assert from_values(values).architecture == Fast(width=(10, 20, 30), depth=(1, 3, 2))
    wide = {f"architecture.width.{number}": number for number in range(MOST_STAGES, 0, -1)}
    named = {"architecture.family": "cnn", "architecture.stages": MOST_STAGES, **wide}
    assert from_values(named).architecture == Cnn(stages=8, width=(1, 2, 3, 4, 5, 6, 7, 8))


def test_entries_beyond_the_last_stage_or_layer_are_cut_so_that_equal_networks_are_equal() -> None:
    assert Fast(stages=2, width=(8, 16, 99)) == Fast(stages=2, width=(8, 16), depth=(2, 2), kernel=(3, 3))
    assert Fast(stages=1).depth == (2,)
    assert Cnn(stages=1, width=(8, 99), hidden_layers=0) == Cnn(stages=1, width=(8,), hidden_layers=0, hidden=())


def cnn(**values: Value) -> dict[str, Value]:
    return {"architecture.family": "cnn", **{f"architecture.{name}": value for name, value in values.items()}}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (fast(width_1=16), "architecture: width needs one entry per stage: 3 wanted, 1 given"),
        (cnn(stages=4), "architecture: width needs one entry per stage: 4 wanted, 3 given"),
        (cnn(hidden_layers=2), "architecture: hidden needs one entry per hidden layer: 2 wanted, 1 given"),
        (fast(stages=2, width_1=8, width_3=32), "architecture.width.2 is missing before architecture.width.3"),
        (fast(width=8, width_1=8), "architecture.width.1 is given, and architecture.width for all of them too"),
        (fast(width_1=8, width_2=0, width_3=8), "architecture.width.2: must be at least 1, not 0"),
        ({}, f"architecture.family is None; known: {', '.join(FAMILIES)}"),
        ({"architecture.family": 1}, f"architecture.family is 1; known: {', '.join(FAMILIES)}"),
        *((fast(stages=bad), "architecture.stages: must be ") for bad in ("3", 3.0, True, 0, 9, float("nan"))),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_would(values: dict[str, Value], sentence: str) -> None:
    assert refusal(values).startswith(sentence)


def test_every_broken_rule_of_a_part_is_said_with_its_value() -> None:
    message = refusal(fast(stages=5, dropout=1.0, activation="tanh"))
    assert message.splitlines() == [
        "architecture.stages: must be at most 4, not 5",
        "architecture.activation: must be relu, gelu or silu, not 'tanh'",
        "architecture.dropout: must be below 1, not 1.0",
    ]


def test_every_unknown_name_is_said_with_the_family() -> None:
    message = refusal({**fast(pool=2, stages_1=8, kernel_9=3), "recipe.depth": 1, "seed": 0})
    names = ("architecture.pool", "architecture.stages.1", "architecture.kernel.9", "recipe.depth", "seed")
    assert message.splitlines() == [f"{name} is not a field of family 'fast'" for name in names]


def test_one_value_stands_for_every_entry_of_a_field() -> None:
    expected = Fast(width=(8,) * 3, depth=(1,) * 3, kernel=(5,) * 3)
    assert from_values(fast(width=8, depth=1, kernel=5)).architecture == expected
    assert from_values(fast(stages=2, width=8)).architecture == Fast(stages=2, width=(8, 8))


def test_rules_broken_in_both_parts_are_said_together() -> None:
    message = refusal({**fast(stages=5, pool=2), "recipe.momentum": 1.0})
    assert all(name in message for name in ("stages", "pool", "momentum"))


@pytest.mark.parametrize("owner", [*(family() for family in FAMILIES.values()), Recipe(), from_values(fast())])
def test_nothing_can_be_changed_after_its_check(owner: Any) -> None:
    for field in fields(owner):
        with pytest.raises(FrozenInstanceError):
            setattr(owner, field.name, getattr(owner, field.name))


def test_equal_candidates_are_interchangeable_as_keys() -> None:
    assert len({from_values(fast()), from_values(fast(stages=3)), from_values(fast(stages=2))}) == 2


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate(architecture=Fast(stages=2, kernel=(1, 7), residual=True), recipe=Recipe(optimizer="adamw")),
        Candidate(architecture=Cnn(hidden=(9, 8), hidden_layers=2, pool=(1,) * 3), recipe=Recipe(mixup=0.4)),
    ],
)
def test_a_report_holds_all_that_is_needed_to_make_the_candidate_again(candidate: Candidate) -> None:
    values = dict(flat(candidate.as_dict()))
    assert from_values(values) == candidate
    assert values.keys() <= checks(candidate.architecture.family).keys()
    assert values_of(candidate, values) == values


def test_the_values_of_a_candidate_are_read_by_the_names_of_a_space() -> None:
    candidate = from_values(fast(width_1=8, width_2=16, width_3=16, depth=2))
    names = ("architecture.family", "architecture.width.2", "architecture.width", "architecture.depth", "recipe.flip")
    assert values_of(candidate, (*names, "architecture.depth.4", "recipe.unknown")) == {
        "architecture.family": "fast",
        "architecture.width.2": 16,  # `width` is missing: its entries differ
        "architecture.depth": 2,
        "recipe.flip": "alternating",
    }


VALUES: st.SearchStrategy[Value] = st.one_of(
    st.integers(),
    st.integers(-1, 33),
    st.booleans(),
    st.floats(),
    st.floats(-0.5, 1.5),
    st.sampled_from([4096, 4097, 65536, 65537, 1000.0, 180, 0.0, -0.0, 3.0, 10**400]),
    st.sampled_from(["", "fast", "cnn", "relu", "GELU", "same", "valid", "sgd", "adamw", "none", "random", "1"]),
)


@settings(deadline=None, max_examples=400)
@given(st.data(), st.sampled_from(sorted(FAMILIES)), VALUES)
def test_a_space_file_is_held_to_exactly_the_rules_of_the_candidate(data: Any, family: str, value: Value) -> None:
    known = checks(family)
    name = data.draw(st.sampled_from(sorted(known.keys() - {"architecture.family"})))  # which says whose rules hold
    full: dict[str, Value] = {wide: 1 for wide in ("architecture.width", "architecture.hidden") if wide in known}
    full |= {"architecture.padding": "valid"} if family == "cnn" else {}  # for which every kernel is good
    field, _, index = name.rpartition(".")
    if index.isdigit():
        full.pop(field, None)
        good: Value = next((good for end, good in {"edge": "none", "dropout": 0.0}.items() if field.endswith(end)), 1)
        full |= {f"{field}.{entry}": good for entry in range(1, MOST_STAGES + 1)}
    try:
        candidate = from_values({**full, "architecture.family": family, name: value})
    except CandidateError:
        assert known[name](value) is not None
    else:
        assert known[name](value) is None
        assert candidate.architecture.family == family


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bounds_of_a_field_are_those_of_its_check(family: str) -> None:
    for name, check in checks(family).items():
        bounds = field_bounds(family, name)
        for end, included, beyond in ((bounds.low, bounds.low_included, -1), (bounds.high, bounds.high_included, 1)):
            if end is not None:
                assert (check(end) is None) == included
                assert check(end + beyond) is not None
        assert all(check(option) is None for option in bounds.options or ())
        assert not bounds.options or check("none of these") is not None


def test_bounds_say_which_ends_are_open_and_list_options() -> None:
    assert field_bounds("fast", "architecture.width.2") == Bounds(low=1, high=4096)
    assert field_bounds("cnn", "recipe.learning_rate") == Bounds(low=0, high=1000, low_included=False)
    assert field_bounds("cnn", "architecture.padding").options == ("same", "valid", 1, 2, 3)
    assert field_bounds("fast", "recipe.averaging").options == (False, True)
    assert field_bounds("transfer", "architecture.weights") == Bounds()  # any text


def test_a_space_of_one_family_has_no_other() -> None:
    assert checks("fast")["architecture.family"]("cnn") == "must be fast"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_line_of_the_table_names_an_optimiser_that_a_recipe_may_name(name: str) -> None:
    assert issubclass(pkgutil.resolve_name(OPTIMIZERS[name].factory), Optimizer)
    assert from_values({"architecture.family": "mlp", "recipe.optimizer": name}).recipe.optimizer == name
    assert checks("mlp")["recipe.optimizer"](name) is None


def test_an_unknown_optimiser_is_refused_with_the_known_ones() -> None:
    message = refusal({"architecture.family": "mlp", "recipe.optimizer": "adamax"})
    assert "adamax" in message
    assert all(name in message for name in OPTIMIZERS)


def test_candidates_are_read_without_torch() -> None:
    code = "import sys, search.candidate; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
