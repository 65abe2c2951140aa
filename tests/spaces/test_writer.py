"""A space that is written reads back as the same space, in the form of the shipped ones."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.planning.catalogue import load
from spaces import shipped_spaces
from spaces.loader import parse_space
from spaces.parameter import Choice, Fixed, Float, Integer, Kind, KindError, Ordered, Parameter, Value
from spaces.space import Baseline, Constraint, Space, TrainingLength
from spaces.writer import space_text

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), min_size=1, max_size=12)
VALUE = st.one_of(TEXT, st.integers(-99, 99), st.booleans(), st.floats(-1e9, 1e9), st.sampled_from(["no", "1", "null"]))
NAMES = ["a", "b.1", "b.2", "c", "b.3", "d.e.1", "d.f", "d.e.2"]  # some come back to an entry that is closed


@st.composite
def kinds(draw: st.DrawFn) -> Kind:
    low, width = draw(st.integers(1, 99)), draw(st.integers(1, 50))
    log = draw(st.booleans())
    options = tuple(draw(st.lists(VALUE, min_size=2, max_size=4, unique=True)))
    try:
        return draw(
            st.sampled_from(
                [
                    Float(low / 7, low / 7 + width, log=log),
                    Float(low / 8, low / 8 + width / 4, step=0.125),
                    Integer(low, low + width, log=log),
                    Integer(low, low + 3 * width, step=3),
                    Choice(options),
                    Ordered(options),
                    Fixed(options[0]),
                ]
            )
        )
    except KindError:  # options that Optuna could not tell apart
        return Fixed(low)


@st.composite
def drawn_spaces(draw: st.DrawFn) -> Space:
    parameters = [Parameter("architecture.family", Fixed("some"))]
    for part in ("architecture", "recipe"):
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6)):
            kind = draw(kinds())
            parents = [
                (before.name, before.kind.options) for before in parameters if isinstance(before.kind, Choice | Ordered)
            ]
            parent = draw(st.sampled_from(parents)) if parents and not isinstance(kind, Fixed) else None
            chosen = draw(st.integers(1, len(parent[1]))) if parent and draw(st.booleans()) else 0
            parameters.append(
                Parameter(f"{part}.{name}", kind, {parent[0]: parent[1][:chosen]} if parent and chosen else {})
            )
    space = Space("drawn", "drawn.yaml", draw(TEXT), "some", None, tuple(parameters))
    names = draw(st.lists(TEXT, unique=True, max_size=2))
    return replace(
        space,
        length=draw(st.none() | st.builds(TrainingLength, st.integers(1, 99), st.integers(1, 99))),
        constraints=tuple(Constraint(name, draw(st.floats(1e-3, 1e12))) for name in ("flops", "size")),
        baselines=tuple(Baseline(name, space.sample(Random(seed))) for seed, name in enumerate(names)),
    )


def read(text: str, space: Space) -> Space:
    known = {parameter.name: _anything for parameter in space.parameters}
    return parse_space(
        text,
        name=space.name,
        source=space.source,
        families={space.family: known},
        measures=["flops", "size", "parameters"],
    )


def _anything(_: Value) -> None:
    return None


@settings(max_examples=60, deadline=None)
@given(drawn_spaces(), TEXT)
def test_any_space_reads_back_as_itself(space: Space, comment: str) -> None:
    comments = {parameter.name: comment for parameter in space.parameters}
    assert read(space_text(space), space) == space
    assert read(space_text(space, head=[comment], comments=comments), space) == space


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_shipped_space_reads_back_as_itself_with_drawn_baselines(name: str) -> None:
    space = load(name)
    drawn = tuple(Baseline(f"drawn {seed}", space.sample(Random(seed))) for seed in range(5))
    larger = replace(space, baselines=(*space.baselines, *drawn))
    assert read(space_text(larger), larger) == larger


def test_a_space_is_written_as_a_person_would() -> None:
    space = load("smoke")
    text = space_text(space, head=["After study smoke."], comments={"architecture.width.2": "why " * 40})
    assert text.startswith("# After study smoke.\ndescription: Tiny networks whose trials take seconds\nfamily: cnn\n")
    assert "\nlength: {trial: 2, retrain: 2}\n\narchitecture:\n  stages: 2\n  width:\n" in text
    assert "\n    1: {integer: [4, 12], step: 4}\n    # why why" in text
    assert "\n  learning_rate: {float: [0.5, 8.0], log: true}\n" in text
    assert (
        "\n  tiny:\n    architecture: {width: {1: 8, 2: 16}, activation: relu}\n    recipe: {learning_rate: 2.0,"
        in text
    )
    assert max(map(len, text.splitlines())) <= 120
    assert "{flops: " not in text
    assert "\n  flops: {max: 60000000.0}\n" in space_text(load("fast"))
