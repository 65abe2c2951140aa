"""What each form of a parameter in a space file becomes."""

from __future__ import annotations

import pytest
from space_texts import parse

from search import candidate
from spaces.parameter import Choice, Fixed, Float, Integer, Kind, Ordered

HEAD = "description: d\nfamily: fast\n"


def kinds(lines: str) -> dict[str, Kind]:
    """By name, the family left out."""
    return {parameter.name: parameter.kind for parameter in parse(HEAD + lines).parameters[1:]}


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("flip: {choice: ['none', \"random\"]}", Choice(("none", "random"))),
        ("averaging: true", Fixed(True)),
        ("mixup: {float: [0, 1], step: 0.5}", Float(0, 1, step=0.5)),
        ("batch_size: {integer: [64, 512], log: true}", Integer(64, 512, log=True)),
        ("batch_size: {ordered: [64, 128, 256]}", Ordered((64, 128, 256))),
        ("flip: {ordered: [none, alternating, random]}", Ordered(("none", "alternating", "random"))),
        ("mixup: {ordered: [0.0, 1e-3]}", Ordered((0.0, 0.001))),
    ],
)
def test_each_form_becomes_its_kind(written: str, kind: Kind) -> None:
    assert [*kinds(f"recipe: {{{written}}}").values()] == [kind]


def test_a_step_leaves_out_the_values_that_the_field_refuses() -> None:
    assert kinds("architecture: {kernel.1: {integer: [3, 5], step: 2}}") == {
        "architecture.kernel.1": Integer(3, 5, step=2)
    }


@pytest.mark.parametrize("written", ["width: 32", "width: {integer: [8, 32]}", "width: {ordered: [8, 32]}"])
def test_one_value_or_kind_stands_for_every_stage(written: str) -> None:
    space = parse(f"{HEAD}architecture: {{stages: 4, {written}}}")
    assert [parameter.name for parameter in space.parameters[2:]] == ["architecture.width"]
    more = {"architecture.width": 32, "architecture.stages": 4, "architecture.family": "fast"}
    assert space.check(more) == []
    assert candidate.from_values(more).architecture.width == (32,) * 4  # type: ignore[union-attr]


def test_numbers_below_a_name_are_its_entries() -> None:
    found = kinds("architecture: {width: {1: 16, 2: {ordered: [16, 32]}}, depth.3: 1}")
    assert found == {
        "architecture.width.1": Fixed(16),
        "architecture.width.2": Ordered((16, 32)),
        "architecture.depth.3": Fixed(1),
    }
