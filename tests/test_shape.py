"""One parameter of a space file: each mistake is one problem, in the words of the file."""

from __future__ import annotations

import pytest

from search import candidate
from spaces import Space, SpaceError
from spaces.loader import parse_space
from spaces.parameter import Choice, Fixed


def parse(recipe: str) -> Space:
    """A space with these lines under `recipe:`, the first of them line 4."""
    text = f"description: d\nfamily: fast\nrecipe:\n{recipe}"
    return parse_space(text, name="t", source="t.yaml", families={"fast": candidate.checks("fast")}, measures=())


def mistakes(recipe: str) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        parse(recipe)
    return [str(problem) for problem in caught.value.problems]


WRONG_PARAMETERS = [  # the line under `recipe:`, so line 4, and words of its only problem
    ("batch_size: {integer: [64, 512], stp: 2}", "recipe.batch_size.stp is not a name here, nearest: step"),
    ("batch_size: {integer: [64.0, 512]}", "must be an integer, without a point or an exponent, not 64.0"),
    ("batch_size: {integer: [64, 1e3]}", "must be an integer, without a point or an exponent, not 1000.0"),
    ("batch_size: {integer: [true, 512]}", "must be an integer"),
    ("batch_size: {integer: [64, 512], log: true, step: 2}", "a log range takes no step, not 2"),
    ("batch_size: {integer: [64, 99999999999999999999999]}", "beyond 2^53"),
    ("batch_size: {integer: [64, 512], choice: [64]}", "must have one of float, integer, choice, not ['integer'"),
    ("batch_size: {intger: [64, 512]}", "recipe.batch_size.intger is not a name here, nearest: integer"),
    ("batch_size: {log: true}", "recipe.batch_size must have one of float, integer, choice, not ['log']"),
    ("batch_size: {}", "recipe.batch_size must have one of float, integer, choice, not []"),
    ("batch_size: [64, 512]", "recipe.batch_size must say what the list is, not [64, 512], write {choice: [...]}"),
    ("batch_size:", "recipe.batch_size is empty"),
    ("batch_size: 1_000", "not '1_000'"),
    ("batch_size: 0100", "ambiguous: some read 0100 as octal"),
    ("batch_size: 12:30", "not '12:30'"),
    ("averaging: on", "not 'on'"),
    ("averaging: {choice: [true, 1]}", "options must differ, and true equals 1"),
    ("averaging: {choice: []}", "must have at least one option"),
    ("averaging: {choice: [true, [false]]}", "recipe.averaging.choice must be a single value, not [False]"),
    ("averaging: {choice: [true, true]}", "options must differ"),
    ("mixup: {float: [0, 1, 2]}", "recipe.mixup.float must be [low, high], not [0, 1, 2]"),
    ("mixup: {float: [1]}", "recipe.mixup.float must be [low, high], not [1]"),
    ("mixup: {float: 3}", "recipe.mixup.float must be a list in [ ], not 3"),
    ("mixup: {float: [0, '1']}", "recipe.mixup.float must be a number, without quotes or a unit, not '1'"),
    ("mixup: {float: [0, 11]}", "recipe.mixup: Input should be less than or equal to 10, not 11.0"),
    ("mixup: {float: [0, .inf]}", "must be a finite number, not .inf"),
    ("mixup: {float: [0, 1], log: yes}", "recipe.mixup.log must be true or false, not 'yes'"),
    ("mixup: {float: [0, 1], step: 0.3}", "step must divide 0.0 .. 1.0"),
    ("mixup: {float: [0.5, 0.5]}", "low < high"),
    ("mixup: .nan", "must be a finite number, not .nan"),
    ("mixup: 1e999", "must be a finite number, not 1e999"),
    ("mixup: !!float 1", "tags are not allowed, not 'tag:yaml.org,2002:float'"),
    ("mixup: !!python/object/apply:os.system ['true']", "tags are not allowed"),
    ("mixup: &once 0.1", "anchors and aliases"),
    ("mixup: {float: [0, 1], when: {recipe.cutmix: 0}}", "recipe.cutmix is not a parameter of this space"),
    ("mixup: {float: [0, 1], when: {recipe.mixup: 0}}", "recipe.mixup is not above it in the file"),
    ("mixup: {float: [0, 1], when: 3}", "recipe.mixup.when must be a mapping"),
    ("mixup: {float: [0, 1], when: {architecture.family: cnn}}", "architecture.family can only be fast, not ['cnn']"),
    ("mixup: {float: [0, 1], when: {architecture.family: []}}", "architecture.family can only be fast, not []"),
    ("mixing: {up: 1}", "recipe.mixing is not a name of family fast, nearest: recipe.mixup"),
    ("mixup.: 3", "recipe.mixup. is not a name of family fast, nearest: recipe.mixup"),
    ("'mix\\x1bup': 3", "is not a name of family fast"),
]


@pytest.mark.parametrize(("line", "words"), WRONG_PARAMETERS)
def test_a_wrong_parameter_is_one_problem_at_its_line(line: str, words: str) -> None:
    (problem,) = mistakes(f"  {line}\n  cutout: {{integer: [0, 8]}}\n")
    assert problem.startswith("t.yaml:4: ")
    assert words in problem


def test_a_condition_on_a_float_is_refused() -> None:
    text = "  mixup: {float: [0, 1]}\n  cutmix: {float: [0, 1], when: {recipe.mixup: 0}}\n"
    assert mistakes(text) == ["t.yaml:5: recipe.cutmix: recipe.mixup is a float, and a condition needs exact values"]


def test_a_condition_on_a_later_parameter_says_so() -> None:
    text = "  cutout: {integer: [0, 8], when: {recipe.averaging: true}}\n  averaging: {choice: [true]}\n"
    assert "recipe.averaging is not above it in the file" in mistakes(text)[0]


def test_quotes_make_text() -> None:
    space = parse("  flip: {choice: ['none', \"random\"]}\n  averaging: true\n")
    assert [parameter.kind for parameter in space.parameters[1:]] == [Choice(("none", "random")), Fixed(True)]


def test_many_mistakes_end_somewhere() -> None:
    problems = mistakes("".join(f"  lerning_rate{number}: 1\n" for number in range(2000)))
    assert len(problems) == 201
    assert "200 mistakes or more" in problems[-1]
