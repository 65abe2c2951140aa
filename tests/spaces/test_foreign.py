"""A space file with entries of other tools: each is told the form that is wanted here, and that form is right."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from space_texts import loads_or_explains, parse

from spaces import SpaceError
from spaces.foreign import KEYS

HEAD = "description: d\nfamily: fast\nrecipe:\n  "


def hint(entry: str) -> str:
    """The form that the only problem of a space with this entry says to write."""
    with pytest.raises(SpaceError) as caught:
        parse(HEAD + entry)
    (problem,) = caught.value.problems
    return problem.hint.removeprefix("write ")


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ('batch_size: {"_type": "choice", "_value": [64, 128]}', "{choice: [64, 128]}"),  # NNI
        ("learning_rate: {_type: loguniform, _value: [1e-4, 0.1]}", "{float: [0.0001, 0.1], log: true}"),
        ("mixup: {_type: quniform, _value: [0, 1, 0.1]}", "{float: [0, 1], step: 0.1}"),
        ("batch_size: {_type: randint, _value: [64, 513]}", "{integer: [64, 512]}"),
        ("learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 0.1}", "{float: [0.0001, 0.1], log: true}"),
        ("learning_rate: {distribution: log_uniform, min: -9.2, max: -2.3}", "{float: [0.000101, 0.1], log: true}"),
        ("batch_size: {distribution: q_uniform, q: 64, min: 64, max: 512}", "{integer: [64, 512], step: 64}"),  # W&B
        ("batch_size: {min: 64, max: 512}", "{integer: [64, 512]}"),
        ("flip: {values: [none, random]}", "{choice: [none, random]}"),
        ("batch_size: {low: 64, high: 512, log: true}", "{integer: [64, 512], log: true}"),  # Optuna
        ("batch_size: {low:  64, high: 512}", "{integer: [64, 512]}"),
        ("optimizer: {type: categorical, choices: [sgd, adam]}", "{choice: [sgd, adam]}"),
        ("mixup: {type: range, bounds: [0.1, 1], log_scale: true}", "{float: [0.1, 1], log: true}"),  # Ax
        ("flip: choice(none, random)", "{choice: [none, random]}"),  # Hydra, Ray
        ("batch_size: tune.choice([64, 128])", "{choice: [64, 128]}"),
        ("mixup: uniform(0, 1)", "{float: [0, 1]}"),
        ("learning_rate: tag(log, interval(1e-4, 1e-1))", "{float: [0.0001, 0.1], log: true}"),
        ("batch_size: range(64, 512, step=64)", "{integer: [64, 512], step: 64}"),
    ],
)
def test_the_form_that_is_wanted_here_is_told_and_reads(entry: str, wanted: str) -> None:
    assert hint(entry) == wanted
    parse(HEAD + entry.partition(":")[0] + ": " + wanted)


@pytest.mark.parametrize(
    "entry",
    ["mixup: much", "mixup: {distribution: constant, value: 3}", "mixup: uniform()", "mixup: {low: a, high: 2}"],
)
def test_what_is_no_entry_of_another_tool_is_told_as_before(entry: str) -> None:
    assert not re.match(r"\{", hint(entry))


@given(
    st.sampled_from(["uniform", "choice", "tag(log, interval", "quniform", "(", "x"]),
    st.lists(st.one_of(st.integers(-9, 9), st.floats(-1, 9), st.text("a,[]='\" ", max_size=4)), max_size=4),
)
def test_no_text_of_that_kind_is_more_than_a_mistake(name: str, values: list[object]) -> None:
    text = f"{name}({', '.join(map(str, values))})".replace("'", "''")
    with pytest.raises(SpaceError) as caught:
        parse(f"{HEAD}mixup: '{text}'\n")
    assert len(caught.value.problems) == 1


@given(
    st.dictionaries(
        st.sampled_from([key for keys in KEYS.values() for key in keys]),
        st.one_of(
            st.sampled_from(["uniform", "log_uniform", "randint", "choice", True]),
            st.integers(-(10**6), 10**6),
            st.lists(st.one_of(st.integers(-9, 9), st.floats(-1, 1e6), st.text("ab", max_size=2)), max_size=4),
        ),
        min_size=1,
    )
)
def test_no_mapping_of_that_kind_is_more_than_a_mistake(entry: dict[str, object]) -> None:
    assert not loads_or_explains(f"{HEAD}mixup: {json.dumps(entry)}\n")
