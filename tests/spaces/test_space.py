"""A space: drawing through a real study, checking, fingerprint and difference."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import optuna
import pytest
from space_texts import parse

from search import candidate
from spaces import Space, difference
from spaces.parameter import Fixed, Integer, Parameter

TEXT = """\
description: Up to four stages.
family: fast
architecture:
  stages: {integer: [2, 4]}
  width:
    1: {integer: [16, 64], step: 16}
    2: {integer: [32, 128], log: true}
    3: {integer: [32, 128], when: {architecture.stages: [3, 4]}}
    4: {integer: [32, 128], when: {architecture.stages: 4}}
  kernel.1: 3
  depth: {ordered: [1, 2, 4]}
  activation: {choice: [relu, gelu]}
recipe:
  learning_rate: {float: [1e-3, 0.1], log: true}
  momentum: {float: [0.8, 0.95], step: 0.01}
  averaging: {choice: [true, false]}
constraints:
  flops: {max: 40e6}
  parameters: {max: 1000000}
baselines:
  airbench:
    architecture: {stages: 3, width: {1: 32, 2: 64, 3: 64, 4: 128}, depth: 4, activation: gelu}
    recipe: {learning_rate: 0.01, momentum: 0.85, averaging: true}
"""

ARCHITECTURE = {"family": "fast", "stages": 2, "width.1": 48, "width.2": 100, "kernel.1": 3, "depth": 2}
RECIPE = {"learning_rate": 0.02, "momentum": 0.83, "averaging": True}
SUGGESTED = {f"architecture.{name}": value for name, value in (ARCHITECTURE | {"activation": "relu"}).items()}
SUGGESTED |= {f"recipe.{name}": value for name, value in RECIPE.items()}


@pytest.fixture
def space() -> Space:
    return parse(TEXT)


def test_sampled_values_are_inside_and_make_candidates(space: Space) -> None:
    rng = Random(0)
    drawn = [space.sample(rng) for _ in range(200)]
    assert not any(space.check(values) for values in drawn)
    assert {values["architecture.stages"] for values in drawn} == {2, 3, 4}
    for values in drawn:
        assert ("architecture.width.4" in values) == (values["architecture.stages"] == 4)
        if values["architecture.stages"] == 2:
            assert candidate.from_values({**values, "architecture.kernel.2": 3}).architecture.stages == 2


def test_a_real_study_suggests_conditional_values(space: Space) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=5))
    study.enqueue_trial(space.stored(space.baselines[0].values))
    for number in range(25):
        trial = study.ask()
        values = space.suggest(trial)
        assert space.check(values) == []
        fixed = {"architecture.family": "fast", "architecture.kernel.1": 3}
        assert space.stored(values) == trial.params
        ordered = {"architecture.depth": values["architecture.depth"]}
        assert values == {**fixed, **trial.params, **ordered}
        if number == 0:
            assert values == space.baselines[0].values
        study.tell(trial, float(values["recipe.momentum"]))


def test_a_baseline_is_complete_and_a_study_keeps_positions_and_nothing_fixed(space: Space) -> None:
    (baseline,) = space.baselines
    assert baseline.values["architecture.kernel.1"] == 3
    assert "architecture.width.4" not in baseline.values
    assert space.check(baseline.values) == []
    stored = space.stored(baseline.values)
    assert stored["architecture.depth"] == 2  # the position of 4
    assert stored["architecture.width.1"] == 32
    assert not {"architecture.family", "architecture.kernel.1"} & set(stored)


def test_a_condition_on_ordered_options_holds_by_option() -> None:
    space = parse(
        "{description: d, family: fast, recipe: {batch_size: {ordered: [1, 2, 64]},"
        " mixup: {float: [0, 1], when: {recipe.batch_size: [1, 64]}}}}"
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for position, there in ((0, True), (1, False), (2, True)):
        study.enqueue_trial({"recipe.batch_size": position})
        values = space.suggest(study.ask())
        assert ("recipe.mixup" in values) == there
        assert space.check(values) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"architecture.stages": 5}, "architecture.stages must be 2 .. 4, not 5"),
        ({"architecture.stages": 2.0}, "architecture.stages must be 2 .. 4, not 2.0"),
        ({"recipe.averaging": 1}, "recipe.averaging must be true | false, not 1"),
        ({"architecture.depth": 3}, "architecture.depth must be 1 < 2 < 4, not 3"),
        ({"architecture.depth": 0}, "architecture.depth must be 1 < 2 < 4, not 0"),
        ({"architecture.kernel.1": 5}, "architecture.kernel.1 must be 3, not 5"),
        ({"recipe.mixup": 0.1}, "recipe.mixup is not a parameter of space t"),
        ({"architecture.stages": 3}, "architecture.width.3 is missing; it may be 32 .. 128"),
        ({"architecture.width.4": 64}, "architecture.width.4 is only there when architecture.stages is 4"),
    ],
)
def test_check_says_what_is_outside(space: Space, change: dict[str, float], sentence: str) -> None:
    assert space.check(SUGGESTED) == []
    assert space.check({**SUGGESTED, **change}) == [sentence]


def test_violations_name_every_constraint(space: Space) -> None:
    found = space.violations({"flops": 50e6, "parameters": 500_000, "memory": 1.0}, side=32)
    assert found == pytest.approx({"flops": 0.25, "parameters": -0.5})
    assert space.violations({"flops": 50e6}, side=32) == pytest.approx({"flops": 0.25})  # the other is not measured yet


def test_the_limit_of_flops_grows_with_the_pictures_and_no_other_does(space: Space) -> None:
    assert space.limits_at(32) == space.limits_at(28) == space.limits
    assert space.limits_at(64) == {**space.limits, "flops": (62 / 30) ** 2 * space.limits["flops"]}
    assert space.violations({"flops": 50e6}, side=64)["flops"] == pytest.approx(1.25 / (62 / 30) ** 2 - 1)
    enlarging = replace(space, parameters=(*space.parameters, Parameter("architecture.input_size", Fixed(64))))
    assert enlarging.limits_at(64) == space.limits


def test_the_fingerprint_ignores_what_a_study_need_not_keep(space: Space) -> None:
    same = TEXT.replace("Up to four", "Several").split("baselines:")[0]
    architecture, recipe = same.split("recipe:\n")[0].split("architecture:\n")[1], same.split("recipe:\n")[1]
    recipe, constraints = recipe.split("constraints:\n")
    lines = "".join(reversed(recipe.splitlines(keepends=True)))
    text = f"# a comment\nconstraints:\n{constraints}recipe:  # first\n{lines}architecture:\n{architecture}"
    text += "family: 'fast'\ndescription: Other words.\nlength: {trial: 2, retrain: 4}\n"
    again = parse(text.replace("40e6", "40000000").replace("[3, 4]}}", "[4, 3]}}").replace("1e-3", "0.001"))
    assert again.parameters != space.parameters
    assert again.fingerprint == space.fingerprint
    assert difference(space.canonical(), again.canonical()) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("1e-3, 0.1]", "1e-3, 0.5]", "recipe.learning_rate: 0.001 .. 0.1, log -> 0.001 .. 0.5, log"),
        ("[relu, gelu]", "[gelu, relu]", "architecture.activation: relu | gelu -> gelu | relu"),
        ("[1, 2, 4]}", "[4, 2, 1]}", "architecture.depth: 1 < 2 < 4 -> 4 < 2 < 1"),
        ("{ordered: [1, 2, 4]}", "{choice: [1, 2, 4]}", "architecture.depth: 1 < 2 < 4 -> 1 | 2 | 4"),
        ("kernel.1: 3", "kernel.1: 5", "architecture.kernel.1: fixed at 3 -> fixed at 5"),
        ("kernel.1: 3", "kernel.1: {choice: [3, 5]}", "architecture.kernel.1: fixed at 3 -> 3 | 5"),
        ("  kernel.1: 3\n", "", "architecture.kernel.1: only in the old space"),
        ("kernel.1: 3", "kernel.1: 3\n  residual: true", "architecture.residual: only in the new space"),
        ("40e6", "50e6", "constraints.flops: at most 40000000 -> at most 50000000"),
        ("  flops: {max: 40e6}\n", "", "constraints.flops: only in the old space"),
        (
            "architecture.stages: [3, 4]",
            "architecture.stages: 3",
            "architecture.width.3: 32 .. 128, when architecture.stages is 3 or 4"
            " -> 32 .. 128, when architecture.stages is 3",
        ),
    ],
)
def test_a_difference_changes_the_fingerprint_and_is_one_line(space: Space, old: str, new: str, line: str) -> None:
    other = parse(TEXT.split("baselines:")[0].replace(old, new))
    assert other.fingerprint != space.fingerprint
    stored = json.loads(json.dumps(space.canonical()))
    assert stored == space.canonical()
    assert difference(stored, other.canonical()) == [line]


def test_a_space_refuses_conditions_on_later_parameters() -> None:
    first = Parameter("a", Integer(1, 2))
    second = Parameter("b", Fixed(1), {"a": (1,)})
    for parameters in ((second, first), (first, first)):
        with pytest.raises(ValueError, match="twice or depends on a parameter that comes later"):
            Space("n", "n.yaml", "d", "fast", None, parameters)


def test_what_a_study_stores_of_a_draw_is_no_misfit() -> None:
    space = parse(TEXT)
    draws = [space.sample(Random(seed)) for seed in range(100)]
    assert [space.misfits(space.stored(values)) for values in draws] == [[]] * 100


@pytest.mark.parametrize("wrong", [-1, 3, 4, "0", 1.0, True, None, [1]])
def test_an_ordered_option_is_stored_as_its_position(wrong: object) -> None:
    said = f"architecture.depth must be the position, from 0, in 1 < 2 < 4, not {wrong!r}"
    assert parse(TEXT).misfits({"architecture.depth": wrong, "architecture.stages": 3}) == [said]
