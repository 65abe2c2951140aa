"""A space that is written reads back as the same space, in the form of the shipped ones."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from search.planning.catalogue import load
from spaces.loader import parse_space, shipped_spaces
from spaces.parameter import Choice, Fixed, Float, Integer, Kind, KindError, Ordered, Parameter
from spaces.space import Baseline, Space, TrainingLength
from spaces.writer import space_text

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), min_size=1, max_size=12)
VALUE = st.one_of(TEXT, st.integers(-99, 99), st.booleans(), st.floats(-1e9, 1e9), st.sampled_from(["no", "1", "null"]))
EMPTY = Space("n", "n.yaml", "d", "some", None, (Parameter("architecture.family", Fixed("some")),))
NAMES = ["a", "b.1", "b.2", "c", "b.3", "d.e.1", "d.f", "d.e.2"]  # some come back to an entry that is closed


@st.composite
def kinds(draw: st.DrawFn) -> Kind:
    low, width = draw(st.integers(1, 99)), draw(st.integers(1, 50))
    log = draw(st.booleans())
    options = tuple(draw(st.lists(VALUE, min_size=2, max_size=4, unique=True)))
    try:
        some = [Choice(options), Ordered(options), Fixed(options[0]), Float(low / 7, low / 7 + width, log=log)]
        some += [Float(low, low + width, step=1), Float(low / 8, low / 8 + width / 4, step=0.125)]
        return draw(st.sampled_from([*some, Integer(low, low + width, log=log), Integer(low, low + 3 * width, step=3)]))
    except KindError:  # options that Optuna could not tell apart
        return Fixed(low)


@st.composite
def drawn_spaces(draw: st.DrawFn) -> Space:
    parameters = [Parameter("architecture.family", Fixed("some"))]
    for part in ("architecture", "recipe"):
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6)):
            kind = draw(kinds())
            parents = [(each.name, each.kind.options) for each in parameters if isinstance(each.kind, Choice | Ordered)]
            when = {}
            if parents and not isinstance(kind, Fixed) and draw(st.booleans()):
                parent, options = draw(st.sampled_from(parents))
                when = {parent: options[: draw(st.integers(1, len(options)))]}
            parameters.append(Parameter(f"{part}.{name}", kind, when))
    space = Space("drawn", "drawn.yaml", draw(TEXT), "some", None, tuple(parameters))
    names = draw(st.lists(TEXT, unique=True, max_size=2))
    return replace(
        space,
        length=draw(st.none() | st.builds(TrainingLength, st.integers(1, 99), st.integers(1, 99))),
        limits={name: draw(st.floats(1e-3, 1e12)) for name in ("flops", "size")},
        baselines=tuple(Baseline(name, space.sample(Random(seed))) for seed, name in enumerate(names)),
    )


def read(text: str, space: Space) -> Space:
    families = {space.family: {parameter.name: lambda _: None for parameter in space.parameters}}
    measures = ["flops", "size", "parameters"]
    return parse_space(text.encode(), name=space.name, source=space.source, families=families, measures=measures)


@settings(max_examples=60, deadline=None)
@given(drawn_spaces(), TEXT)
@example(replace(EMPTY, parameters=(*EMPTY.parameters, Parameter("recipe.a", Choice(("0", "?0", "- x"))))), "x")
@example(replace(EMPTY, description="a\x85b\u2028\nc"), "x")
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
    assert (
        "\nlength: {trial: 2, retrain: 2}\n\narchitecture:\n  stages: 2\n  width.1: {integer: [4, 12], step: 4}\n"
        in text
    )
    assert "\n  # why why" in text
    assert "\n  learning_rate: {float: [0.5, 8.0], log: true}\n" in text
    assert "\n  tiny:\n    architecture: {width.1: 8, width.2: 16, activation: relu}\n    recipe: {learning_" in text
    assert max(map(len, text.splitlines())) <= 120
    assert "{flops: " not in text
    assert "\n  flops: {max: 100000000.0}\n" in space_text(load("fast"))
