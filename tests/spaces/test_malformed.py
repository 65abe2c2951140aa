"""Space files with mistakes: each is one problem at its line, in the words of the file, and many are told at once."""

from __future__ import annotations

import pytest
from space_texts import GOOD, parse

from spaces import Problem, SpaceError

HEAD = "description: d\nfamily: fast\n"
Case = tuple[str, int, str]
"""A text, the line of its only problem (0 is the whole file), and words of that."""


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(SpaceError) as caught:
        parse(text)
    return caught.value.problems


def recipe(lines: str, words: str, *, at: int = 4) -> Case:
    """These lines under `recipe:`, the first of them line 4, with a good one below."""
    return f"{HEAD}recipe:\n  {lines}\n  cutout: {{integer: [0, 8]}}\n", at, words


def stages(lines: str, words: str, *, at: int = 5) -> Case:
    """These lines under `architecture:` and its stages, the first of them line 5."""
    return f"{HEAD}architecture:\n  stages: {{integer: [2, 4]}}\n  {lines}\n", at, words


def changed(old: str, new: str, line: int, words: str) -> Case:
    """The good file with one change."""
    assert old in GOOD
    return GOOD.replace(old, new), line, words


RANGES = [
    recipe("batch_size: {integer: [64, 512], stp: 2}", "recipe.batch_size.stp is not a name here, nearest: step"),
    recipe("batch_size: {integer: [64.0, 512]}", "must be an integer, without a point or an exponent, not 64.0"),
    recipe("batch_size: {integer: [64, 512], log: true, step: 2}", "a log range takes no step, not 2"),
    recipe("mixup: {float: [0, 1, 2]}", "recipe.mixup.float must have at most 2 entries, not [0, 1, 2]"),
    recipe("mixup: {float: [1]}", "recipe.mixup.float must have at least 2 entries, not [1]"),
    recipe("mixup: {float: 3}", "recipe.mixup.float must be a list in [ ], not 3"),
    recipe("mixup: {float: [0, '1']}", "recipe.mixup.float must be a number, without quotes or a unit, not '1'"),
    recipe("mixup: {float: [0, 11]}", "recipe.mixup: must be at most 10, not 11.0"),
    recipe("mixup: {float: [0, 1], log: yes}", "recipe.mixup.log must be true or false, not 'yes'"),
    recipe("mixup: {float: [0, 1], step: 0.3}", "step must divide 0.0 .. 1.0"),
    stages("kernel: {integer: [3, 5]}", "architecture.kernel: must be 1, 3, 5 or 7, not 4"),
]
OPTIONS = [
    recipe("averaging: {choice: [true, 1]}", "options must differ, and true equals 1"),
    recipe("averaging: {choice: []}", "must have at least one option"),
    recipe("batch_size: {ordered: [64]}", "must have at least 2 options (a single value is written plainly), not [64]"),
    recipe("batch_size: {ordered: [64, [128]]}", "recipe.batch_size.ordered must be a single value, not [128]"),
    recipe("batch_size: {ordered: [64, 128], step: 64}", "recipe.batch_size.step is not a name here, known: when"),
    recipe("batch_size: {orderd: [64, 128]}", "choice, ordered, not ['orderd'], nearest: ordered"),
    recipe("flip: {ordered: [none, sometimes]}", "must be none, random or alternating, not 'sometimes'"),
]
KINDS = [
    recipe("batch_size: {integer: [64, 512], choice: [64]}", "integer, choice, ordered, not ['integer', 'choice']"),
    recipe("batch_size: {log: true}", "batch_size must have one of float, integer, choice, ordered, not ['log']"),
    recipe("batch_size: [64, 512]", "must say what the list is, not [64, 512], write {choice: [...]} or {ordered: "),
    stages("width: {integr: [8, 16]}", "width must have one of float, integer, choice, ordered, not ['integr']"),
    stages("width: {1: 8, integer: [8, 16]}", "architecture.width.1 is not a name here, known: log, step"),
    stages("width: {1: 8, two: 16}", "architecture.width.two is not a name of family fast, nearest: architecture.w"),
    stages("width: {1: {2: 64}}", "architecture.width.1.2 is not a name of family fast, nearest: architecture.wid"),
    stages("width: {9: 64}", "architecture.width.9 is not a name of family fast, nearest: architecture.width.1"),
    stages("width: {}", "architecture.width has nothing in it"),
    stages("depth: 2\n  depth.1: 3", "architecture.depth.1 is given, and architecture.depth for all of them too", at=6),
    stages("depth.1: 3\n  depth: 2", "architecture.depth.1 is given, and architecture.depth for all of them too"),
]
NAMES = [
    recipe("mixing: {up: 1}", "recipe.mixing.up is not a name of family fast, nearest: recipe.mixup"),
    recipe("mixup.: 3", "recipe.mixup. is not a name of family fast, nearest: recipe.mixup"),
    recipe("'mix\\x1bup': 3", "is not a name of family fast"),
    recipe("mix\u200bup: 1", r"recipe.mix\u200bup is not a name of family fast, nearest: recipe.mixup"),
    recipe("<<: {mixup: 1}", "recipe.<<.mixup is not a name of family fast"),
    stages("stages: 3", "architecture.stages is there twice, first on line 4"),
    changed("  kernel.1: 3", "  family: fast", 11, "architecture.family is given by `family`"),
    changed("  kernel.1: 3", "  width.2: 64", 11, "architecture.width.2 is there twice"),
]
VALUES = [
    recipe("batch_size:", "recipe.batch_size is empty"),
    recipe("batch_size: 1_000", "not '1_000'"),
    recipe("batch_size: 0100", "ambiguous: some read 0100 as octal"),
    recipe("batch_size: 65537", "must be at most 65536, not 65537"),
    recipe("batch_size: 9007199254740993", "recipe.batch_size is an integer beyond 2^53: 9007199254740993"),
    recipe("batch_size: " + "9" * 5000, "recipe.batch_size is an integer beyond 2^53: 99999999999999999999"),
    recipe("averaging: on", "must be true or false, not 'on'"),
    recipe("averaging: 'true'", "must be true or false, not 'true'"),
    recipe("averaging: 1", "must be true or false, not 1"),
    recipe("mixup: '1e-3'", "must be a number, without quotes or a unit, not '1e-3'"),
    recipe("mixup: .nan", "must be a finite number, not .nan"),
    recipe("mixup: 1e999", "must be a finite number, not 1e999"),
    recipe("mixup: |\n    0.1", r"must be a number, without quotes or a unit, not '0.1\n'"),
]
YAML = [
    recipe("<<: *base", "anchors and aliases (&name, *name) are not allowed, write the value out"),
    recipe("\tmixup: 0.1", "is not YAML, indent with spaces, not tabs"),
    recipe("mixup: 0.1\n\tcutmix: 0", "is not YAML, indent with spaces, not tabs", at=5),
]
CONDITIONS = [
    recipe("mixup: {float: [0, 1], when: {recipe.cutmix: 0}}", "recipe.cutmix is not a parameter above it in the"),
    recipe("mixup: {float: [0, 1], when: {recipe.mixup: 0}}", "recipe.mixup is not a parameter above it in the file"),
    recipe("mixup: {float: [0, 1], when: {recipe.cutout: 1}}", "recipe.cutout is not a parameter above it in the"),
    recipe("mixup: {float: [0, 1], when: 3}", "recipe.mixup.when must be a mapping"),
    recipe("mixup: {float: [0, 1], whn: {recipe.flip: none}}", "recipe.mixup.whn is not a name here, nearest: when"),
    recipe("mixup: {float: [0, 1], when: {architecture.family: cnn}}", "can only be fast, not ['cnn']"),
    recipe("mixup: {float: [0, 1], when: {architecture.family: []}}", "architecture.family can only be fast, not []"),
    recipe(
        "mixup: {float: [0, 1]}\n  cutmix: {float: [0, 1], when: {recipe.mixup: 0}}",
        "recipe.cutmix: recipe.mixup is a float, and a condition needs exact values",
        at=5,
    ),
    recipe(
        "flip: {ordered: [none, random]}\n  mixup: {float: [0, 1], when: {recipe.flip: 0}}",
        "recipe.mixup: recipe.flip can only be none < random, not [0]",
        at=5,
    ),
    recipe(
        "flip: {ordered: [none, random]}\n  mixup: {float: [0, 1], when: {recipe.flip: [none, alternating]}}",
        "recipe.flip can only be none < random, not ['alternating']",
        at=5,
    ),
    changed("stages: 4}", "stages: 5}", 9, "architecture.stages can only be 2 .. 4, not [5]"),
]
PARTS = [
    (GOOD + "family: fast\n", 22, "family is there twice, first on line 2"),
    changed("family: fast", "family: fsat", 2, "family is not a known one, not 'fsat', nearest: fast"),
    changed("family: fast", "family: 3", 2, "family must be text (in quotes, if it looks like a number), not 3"),
    changed("family: fast\n", "", 1, "family is missing"),
    changed("A small space.", "''", 1, "description must not be empty"),
    changed("trial: 4", "trial: 0", 3, "length.trial must be at least 1, not 0"),
    changed("trial: 4, ", "", 3, "length.trial is missing"),
    changed("retrain: 16", "retrain: 16, tune: 1", 3, "length.tune is not a name here, known: trial, retrain"),
    changed("flops: {", "flop: {", 16, "constraints.flop is not a known measure, nearest: flops"),
    changed("40e6", "0", 16, "constraints.flops.max must be above 0, not 0"),
    changed("40e6", "'40e6'", 16, "constraints.flops.max must be a number, without quotes or a unit, not '40e6'"),
    changed("{max: 40e6}", "{maxi: 1, max: 1}", 16, "constraints.flops.maxi is not a name here, nearest: max"),
    changed("{max: 40e6}", "40e6", 16, "constraints.flops must be a mapping of names to values"),
    (HEAD + "recipe: 3\n", 3, "recipe must be a mapping of names to values, not 3"),
    (HEAD + "baselines: [a]\n", 3, "baselines must be a mapping of names to values, not ['a']"),
]
BASELINES = [
    changed("activation: gelu", "residual: true, activation: gelu", 19, "baseline airbench: architecture.residual is"),
    changed("activation: gelu", "activation: silu", 19, "must be relu | gelu, not 'silu'"),
    changed("2: 64}, act", "2: 48}, act", 19, "architecture.width.2 must be 32 < 64 < 128, not 48"),
    changed(", 2: 64}, act", "}, act", 18, "baseline airbench has no value for architecture.width.2"),
    changed("{stages: 3", "{kernel.1: 5, stages: 3", 19, "architecture.kernel.1 must be 3, not 5"),
    changed("{stages: 3", "{stages: 4", 18, "airbench has no value for architecture.width.4"),
    changed("recipe: {momentum: 0.85}", "recipe.momentum: [0.85]", 21, "not [0.85]"),
    changed("{stages: 3", "{width.1: 32, stages: 3", 19, "baseline airbench: architecture.width.1 is there twice"),
]
MALFORMED = [*RANGES, *OPTIONS, *KINDS, *NAMES, *VALUES, *YAML, *CONDITIONS, *PARTS, *BASELINES]


def _label(part: object) -> str:
    return str(part)[-40:] if isinstance(part, str) else ""


@pytest.mark.parametrize(("text", "line", "words"), MALFORMED, ids=_label)
def test_a_mistake_is_one_problem_at_its_line(text: str, line: int, words: str) -> None:
    (problem,) = problems(text)
    assert problem.line == line
    assert str(problem).startswith(f"t.yaml:{line}: ")
    assert words in str(problem)
    assert str(problem).isprintable()


PLANTED = """\
description: Nineteen mistakes.
family: fast
lenght: {trial: 4}
architecture:
  stages: {integer: [4, 2]}
  width:
    1: {integer: [16, 60], step: 16}
    2: {ordered: [64]}
    3: {orderd: [32, 64]}
    4: {integer: [32, 128], when: {architecture.depht.1: 4}}
  activation: {choice: [relu, tanh]}
  kernel.1: 3
  kernel.1: 5
  depth: 2
  depth.2: 3
recipe:
  learnin_rate: {float: [1e-4, 1e-1], log: true}
  momentum: {float: [0.8, 1.5]}
  warmup:
    float: [0, 0.5]
    log: true
  batch_size: {ordered: [128, 256, 512]}
  averaging: on
  mixup: .nan
  cutmix: {float: [0, 1], when: {recipe.batch_size: 64}}
  label_smoothing: &same 0.1
constraints:
  flops: {max: -1}
baselines:
  airbench:
    architecture: {stages: 3, width: {1: 32, 2: 64, 4: 64}, activation: relu, kernel.1: 3}
    recipe: {learnin_rate: 0.01, momentum: 2, warmup: 0.2, batch_size: 2}
"""


def test_many_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    assert [str(problem).removeprefix("t.yaml:") for problem in problems(PLANTED)] == [
        "3: lenght is not a name here, nearest: length; known: description, family, length, architecture, recipe, "
        "constraints, baselines",
        "5: architecture.stages: must be [low, high] with low < high (a single value is written plainly), not [4, 2]",
        "7: architecture.width.1: step must divide 16 .. 60, or its upper end would never be tried, not 16",
        "8: architecture.width.2: must have at least 2 options (a single value is written plainly), not [64]",
        "9: architecture.width.3 must have one of float, integer, choice, ordered, not ['orderd'], nearest: ordered; "
        "known: float, integer, choice, ordered",
        "10: architecture.width.4: architecture.depht.1 is not a parameter above it in the file, "
        "nearest: architecture.width.1; known: architecture.family, architecture.stages, architecture.width.1, "
        "architecture.width.2, architecture.width.3",
        "11: architecture.activation: must be relu, gelu or silu, not 'tanh'",
        "13: architecture.kernel.1 is there twice, first on line 12",
        "15: architecture.depth.2 is given, and architecture.depth for all of them too, leave one out",
        "17: recipe.learnin_rate is not a name of family fast, nearest: recipe.learning_rate",
        "18: recipe.momentum: must be below 1, not 1.5",
        "21: recipe.warmup: a log range needs low > 0, not 0.0",
        "23: recipe.averaging: must be true or false, not 'on'",
        "24: recipe.mixup must be a finite number, not .nan",
        "25: recipe.cutmix: recipe.batch_size can only be 128 < 256 < 512, not [64]",
        "26: anchors and aliases (&name, *name) are not allowed, write the value out",
        "28: constraints.flops.max must be above 0, not -1",
        "32: baseline airbench: recipe.momentum must be 0.8 .. 1.5, not 2",
        "32: baseline airbench: recipe.batch_size must be 128 < 256 < 512, not 2",
    ]


def test_aliases_of_aliases_are_never_expanded() -> None:
    bomb = "a0: &a0 [x, x, x, x]\n" + "".join(
        f"a{level}: &a{level} [*a{level - 1}, *a{level - 1}, *a{level - 1}, *a{level - 1}]\n" for level in range(1, 12)
    )
    found = [problem for problem in problems(HEAD + bomb) if "anchors and aliases" in problem.rule]
    assert {problem.line for problem in found} == set(range(3, 15))


def test_a_refused_value_is_no_second_problem() -> None:
    text = f"{HEAD}recipe: {{mixup: &m {{float: [0, 010]}}, cutmix: *m, warmup: {{choice: [*m]}}}}\n"
    rules = [problem.rule for problem in problems(text)]
    assert sum("anchors" in rule for rule in rules) == 3
    assert sum("ambiguous" in rule for rule in rules) == 1
    assert len(rules) == 4


def test_without_a_known_family_only_the_form_of_the_file_is_judged() -> None:
    text = "family: fsat\nrecipe: {mixup: much, lerning_rate: 1}\nlenght: {}\n"
    assert [problem.line for problem in problems(text)] == [1, 1, 3]


def test_two_thousand_mistakes_end_at_200() -> None:
    found = problems(f"{HEAD}recipe:\n" + "".join(f"  lerning_rate{number}: 1\n" for number in range(2000)))
    assert len(found) == 201
    assert "200 mistakes or more" in found[-1].rule


@pytest.mark.parametrize("dropout", ["{1: 0.1}", "{1: {float: [0.0, 0.5]}}", "{1: 0.1, float: [0.0, 0.5]}"])
def test_an_entry_for_a_stage_where_the_family_has_one_value(dropout: str) -> None:
    first = problems(f"description: d\nfamily: mlp\narchitecture: {{dropout: {dropout}}}\n")[0]
    assert first.rule == "architecture.dropout.1 is not a name of family mlp"
    assert first.hint == "there is one architecture.dropout for the whole network"
