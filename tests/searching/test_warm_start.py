"""A candidate of one space is found in another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from search.planning.catalogue import load
from search.searching.setup import values_in
from spaces.parameter import Choice, Fixed, Float, Integer, Parameter
from spaces.space import Space


def changed(space: Space, **kinds: Any) -> Space:
    """The smoke space with other kinds, by the last parts of their names."""
    new = {name.replace("__", "."): kind for name, kind in kinds.items()}
    old = [parameter for parameter in space.parameters if parameter.name not in new]
    return replace(space, parameters=(*old, *(Parameter(name, kind) for name, kind in new.items() if kind)))


def test_a_candidate_is_found_in_another_space() -> None:
    smoke = load("smoke")
    values = dict(smoke.baselines[0].values)
    assert values_in(smoke, values) == values

    wider = changed(smoke, recipe__learning_rate=Float(0.1, 80.0, log=True))
    assert values_in(wider, values) == values

    fixed = changed(smoke, recipe__learning_rate=Fixed(2.0))
    assert values_in(fixed, values) == values
    assert values_in(fixed, {**values, "recipe.learning_rate": 2.5}) is None

    narrower = changed(smoke, recipe__learning_rate=Float(2.5, 8.0))
    assert values_in(narrower, values) is None

    # what one space leaves at its default and the other varies is the default
    more = changed(smoke, recipe__momentum=Float(0.8, 0.9))
    found = values_in(more, values)
    assert found is not None
    assert found["recipe.momentum"] == 0.85
    assert values_in(smoke, found) == values
    assert values_in(smoke, {**found, "recipe.momentum": 0.88}) is None

    # one value for all stages and one for each are the same candidate, where all are equal
    whole = changed(
        smoke, architecture__width=Choice((8, 16)), architecture__width__1=None, architecture__width__2=None
    )
    assert values_in(whole, values) is None
    equal = values_in(whole, {**values, "architecture.width.1": 8, "architecture.width.2": 8})
    assert equal is not None
    assert equal["architecture.width"] == 8
    assert values_in(smoke, equal) == {**values, "architecture.width.1": 8, "architecture.width.2": 8}

    third = changed(smoke, architecture__width__3=Fixed(32))  # of a stage that the candidate has not got
    assert values_in(third, values) == {**values, "architecture.width.3": 32}
    assert values_in(changed(smoke, architecture__width__3=Integer(8, 9)), values) is None
    assert values_in(smoke, {**values, "architecture.family": "fast"}) is None
