"""Space files: the scalars of YAML 1.2, every mistake at its line, and nothing but SpaceError for any text."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import spaces
from search import candidate
from spaces import Space, SpaceError, load_space, shipped_spaces
from spaces.loader import parse_space
from spaces.parameter import Float
from spaces.space import Length

FAMILIES = {family: candidate.checks(family) for family in candidate.FAMILIES}
MEASURES = ("flops", "parameters")

GOOD = """\
description: A small space.
family: fast
length: {trial: 4, retrain: 16}
architecture:
  stages: {integer: [2, 4]}
  width:
    1: {integer: [16, 64], step: 16}
    2: {integer: [32, 128], log: true}
    4: {integer: [32, 128], when: {architecture.stages: 4}}
  activation: {choice: [relu, gelu]}
  kernel.1: 3
recipe:
  learning_rate: {float: [1e-4, 1e-1], log: true}
  momentum: {float: [0.8, 0.95], step: 0.01}
constraints:
  flops: {max: 40e6}
baselines:
  airbench:
    architecture: {stages: 3, width: {1: 32, 2: 64}, activation: gelu}
    recipe.learning_rate: 0.01
    recipe: {momentum: 0.85}
"""


def parse(text: str) -> Space:
    return parse_space(text, name="fast", source="fast.yaml", families=FAMILIES, measures=MEASURES)


def mistakes(text: str) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        parse(text)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems)
    return lines


def test_a_good_file_becomes_a_space() -> None:
    space = parse(GOOD)
    assert (space.name, space.source, space.family) == ("fast", "fast.yaml", "fast")
    assert space.length == Length(trial=4, retrain=16)
    assert [parameter.name for parameter in space.parameters] == [
        "architecture.family",
        "architecture.stages",
        "architecture.width.1",
        "architecture.width.2",
        "architecture.width.4",
        "architecture.activation",
        "architecture.kernel.1",
        "recipe.learning_rate",
        "recipe.momentum",
    ]
    assert space.parameters[7].kind == Float(0.0001, 0.1, log=True)
    assert space.constraints[0].maximum == 40e6
    assert space.baselines[0].values["recipe.momentum"] == 0.85


PLANTED = """\
description: Eleven mistakes.
family: fast
lenght: {trial: 4}
architecture:
  stages: {integer: [4, 2]}
  width:
    1: {integer: [16, 60], step: 16}
    4: {integer: [32, 128], when: {architecture.depht.1: 4}}
  activation: {choice: [relu, tanh]}
  kernel.1: 3
  kernel.1: 5
recipe:
  learnin_rate: {float: [1e-4, 1e-1], log: true}
  momentum: {float: [0.8, 1.5]}
  warmup:
    float: [0, 0.5]
    log: true
constraints:
  flops: {max: -1}
baselines:
  airbench:
    architecture: {stages: 3, width: {1: 32, 4: 64}, activation: relu, kernel.1: 3}
    recipe: {learnin_rate: 0.01, momentum: 2, warmup: 0.2}
"""


def test_eleven_mistakes_are_eleven_lines() -> None:
    assert mistakes(PLANTED) == [
        "fast.yaml:3: lenght is not a name here, nearest: length; known: description, family, length, architecture, "
        "recipe, constraints, baselines",
        "fast.yaml:5: architecture.stages: must be [low, high] with low < high (a single value is written plainly), "
        "not [4, 2]",
        "fast.yaml:7: architecture.width.1: step must divide 16 .. 60, or its upper end would never be tried, not 16",
        "fast.yaml:8: architecture.width.4: architecture.depht.1 is not a parameter of this space, "
        "nearest: architecture.width.1; known: architecture.family, architecture.stages, architecture.width.1",
        "fast.yaml:9: architecture.activation: Input should be 'relu', 'gelu' or 'silu', not 'tanh'",
        "fast.yaml:11: architecture.kernel.1 is there twice, first on line 10",
        "fast.yaml:13: recipe.learnin_rate is not a name of family fast, nearest: recipe.learning_rate",
        "fast.yaml:14: recipe.momentum: Input should be less than 1, not 1.5",
        "fast.yaml:17: recipe.warmup: a log range needs low > 0, not 0.0",
        "fast.yaml:19: constraints.flops.max must be greater than 0, not -1",
        "fast.yaml:23: baseline airbench: recipe.momentum must be 0.8 .. 1.5, not 2",
    ]


WRONG_FILES = [  # a text, then the start and some words of its only problem
    (GOOD + "family: fast\n", "fast.yaml:22: family is there twice", "first on line 2"),
    (GOOD.replace("family: fast", "family: fsat"), "fast.yaml:2: family is not a known one, not 'fsat'", "near"),
    (GOOD.replace("family: fast", "family: 3"), "fast.yaml:2: family must be text", "not 3"),
    (GOOD.replace("family: fast\n", ""), "fast.yaml:1: family is missing", ""),
    (GOOD.replace("A small space.", "''"), "fast.yaml:1: description must not be empty", ""),
    (GOOD.replace("trial: 4", "trial: 0"), "fast.yaml:3: length.trial must be greater than or equal to 1, not 0", ""),
    (GOOD.replace("trial: 4", "trial: 4.5"), "fast.yaml:3: length.trial must be an integer", ""),
    (GOOD.replace("trial: 4, ", ""), "fast.yaml:3: length.trial is missing", ""),
    (GOOD.replace("retrain: 16", "retrain: 16, tune: 1"), "fast.yaml:3: length.tune is not a name here", "retrain"),
    (GOOD.replace("flops: {", "flop: {"), "fast.yaml:16: constraints.flop is not a known measure", "nearest: flops"),
    (GOOD.replace("40e6", "0"), "fast.yaml:16: constraints.flops.max must be greater than 0, not 0", ""),
    (GOOD.replace("max:", "maxi:").replace("40e6}", "1, max: 1}"), "fast.yaml:16: constraints.flops.maxi is not", ""),
    (GOOD.replace("  kernel.1: 3", "  family: fast"), "fast.yaml:11: architecture.family is given by `family`", ""),
    (GOOD.replace("  kernel.1: 3", "  width.2: 64"), "fast.yaml:11: architecture.width.2 is there twice", ""),
    (GOOD.replace("  kernel.1: 3", "  depth: {}"), "fast.yaml:11: architecture.depth has nothing in it", ""),
    (GOOD.replace("stages: 4}", "stages: 5}"), "fast.yaml:9: ", "architecture.stages can only be 2 .. 4, not [5]"),
    (GOOD.replace("activation: gelu", "residual: true, activation: gelu"), "fast.yaml:19: ", "baseline airbench"),
    (GOOD.replace("activation: gelu", "activation: silu"), "fast.yaml:19: ", "must be relu | gelu, not 'silu'"),
    (GOOD.replace("{stages: 3", "{kernel.1: 5, stages: 3"), "fast.yaml:19: ", "architecture.kernel.1 must be 3, not 5"),
    (GOOD.replace("{stages: 3", "{stages: 4"), "fast.yaml:18: ", "airbench has no value for architecture.width.4"),
    (GOOD.replace("recipe: {momentum: 0.85}", "recipe.momentum: [0.85]"), "fast.yaml:21: ", "not [0.85]"),
]


@pytest.mark.parametrize(("text", "start", "words"), WRONG_FILES)
def test_a_wrong_file_is_one_problem(text: str, start: str, words: str) -> None:
    (problem,) = mistakes(text)
    assert problem.startswith(start)
    assert words in problem
    assert problem.isprintable()


def test_a_wrong_value_inside_an_integer_range_is_found() -> None:
    text = GOOD.replace("kernel.1: 3", "kernel.1: {integer: [3, 5]}").split("baselines")[0]
    (problem,) = mistakes(text)
    assert problem.startswith("fast.yaml:11: architecture.kernel.1: ")
    assert problem.endswith(", not 4")
    assert parse(text.replace("[3, 5]}", "[3, 5], step: 2}"))


def test_a_refused_value_is_no_second_problem() -> None:
    text = "description: d\nfamily: fast\nrecipe: {mixup: &m {float: [0, 010]}, cutmix: *m, warmup: {choice: [*m]}}\n"
    problems = [problem.rule for problem in _problems(text)]
    assert sum("anchors" in rule for rule in problems) == 3
    assert sum("ambiguous" in rule for rule in problems) == 1
    assert len(problems) == 4


def _problems(text: str) -> tuple[spaces.Problem, ...]:
    with pytest.raises(SpaceError) as caught:
        parse(text)
    return caught.value.problems


def test_shipped_spaces_are_named_and_the_unknown_is_near_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fast.yaml", "cnn.yaml", "baselines.yaml", "loader.py"):
        (tmp_path / name).write_text(GOOD)
    monkeypatch.setattr("spaces.loader.files", lambda _: tmp_path)
    assert shipped_spaces() == ["cnn", "fast"]
    assert load_space("fast", families=FAMILIES, measures=MEASURES).name == "fast"
    with pytest.raises(SpaceError, match=r"^fsat: is not a shipped space, nearest: fast; known: cnn, fast; a file"):
        load_space("fsat", families=FAMILIES, measures=MEASURES)
    with pytest.raises(SpaceError, match="baselines: is not a shipped space"):
        load_space("baselines", families=FAMILIES, measures=MEASURES)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        (b"a: 1\nb: \xff\n", ":2: a space file must be UTF-8 text"),
        (b"\xff\xfea\x00", "must be UTF-8"),
        (b"#" * 1_000_001, "is larger than 1000000 bytes"),
    ],
)
def test_an_unreadable_file_says_why(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "my.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpaceError, match=words):
        load_space(path, families=FAMILIES, measures=MEASURES)


@pytest.mark.parametrize("source", ["/dev/zero", "./", "a\0.yaml", "a" * 5000 + ".yaml", "../none"])
def test_what_is_no_file_is_not_read(source: str) -> None:
    with pytest.raises(SpaceError):
        load_space(source, families=FAMILIES, measures=MEASURES)


def test_a_file_is_loaded_by_its_path_with_windows_ends(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    space = load_space(str(path), families=FAMILIES, measures=MEASURES)
    assert (space.name, space.source) == ("mine", str(path))
    assert space.fingerprint == parse(GOOD).fingerprint


def test_the_package_is_light_until_a_file_is_read() -> None:
    code = "import sys, spaces; sys.exit(bool({'pydantic', 'yaml', 'torch', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


def _loads_or_explains(text: str) -> None:
    started = time.monotonic()
    problems: tuple[spaces.Problem, ...] = ()
    try:
        space = parse(text)
    except SpaceError as error:
        problems = error.problems
    else:
        rng = Random(0)
        assert not any(space.check(space.sample(rng)) for _ in range(3))
        assert not any(space.check(baseline.values) for baseline in space.baselines)
        assert len(space.fingerprint) == 64
    assert all(str(problem).isprintable() for problem in problems)
    assert all(0 <= problem.line <= len(text.splitlines()) for problem in problems)
    assert time.monotonic() - started < 1


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The good file after a few deletions, insertions and replacements."""
    text = GOOD
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.sampled_from([0, 0, 1, 1, 1, 5, 40]))
        new = draw(st.sampled_from(["", " ", "\n", "\t", ":", "[", "}", "{", "&a ", "*a", "!!x ", "-", "0", "9", "e5"]))
        text = text[:start] + draw(st.sampled_from([new, draw(st.text(max_size=3))])) + text[end:]
    return text


@settings(max_examples=400, deadline=2000)
@given(mutated())
def test_a_mutated_file_loads_or_explains(text: str) -> None:
    _loads_or_explains(text)


WORDS = ["float", "integer", "choice", "log", "step", "when", "max", "trial", "flops", "architecture", "recipe"]
NAMES = ["stages", "width", "1", "mixup", "recipe.mixup", "architecture.stages", "architecture.family"]
keys = st.sampled_from(WORDS + NAMES) | st.integers(0, 3)
node = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=2000)
@given(st.dictionaries(st.sampled_from(["architecture", "recipe", "constraints", "baselines", "length"]), node))
@example({"architecture": {"stages": {"integer": [-(2**53), 2**53]}}})
@example({"recipe": {"mixup": {"float": [0, 10], "step": 5e-324}}})
@example({"recipe": {"mixup": {"float": [-1.7e308, 1.7e308], "step": 1}}})
def test_any_data_loads_or_explains(data: dict[str, object]) -> None:
    _loads_or_explains(yaml.safe_dump({"description": "d", "family": "fast", **data}))
