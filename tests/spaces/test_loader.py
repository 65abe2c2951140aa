"""Space files that become spaces, and nothing but SpaceError for any data."""

from __future__ import annotations

import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import spaces
from search import candidate
from spaces import Space, SpaceError, load_space, shipped_spaces
from spaces.loader import parse_space
from spaces.parameter import Float
from spaces.space import TrainingLength

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


def test_a_good_file_becomes_a_space() -> None:
    space = parse(GOOD)
    assert (space.name, space.source, space.family) == ("fast", "fast.yaml", "fast")
    assert space.length == TrainingLength(trial=4, retrain=16)
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


def test_a_file_is_loaded_by_its_path_with_windows_ends(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    space = load_space(str(path), families=FAMILIES, measures=MEASURES)
    assert (space.name, space.source) == ("mine", str(path))
    assert space.fingerprint == parse(GOOD).fingerprint


def test_the_package_is_light_until_a_file_is_read() -> None:
    code = "import sys, spaces; sys.exit(bool({'pydantic', 'ruamel.yaml', 'torch', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def dumped(data: dict[str, object]) -> str:
    text = StringIO()
    YAML(typ="safe", pure=True).dump(data, text)
    return text.getvalue()


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
    _loads_or_explains(dumped({"description": "d", "family": "fast", **data}))
