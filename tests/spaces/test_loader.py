"""Space files that become spaces, and nothing but SpaceError for any data."""

from __future__ import annotations

import os
import time
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from space_texts import GOOD, loads_or_explains, parse

from search.candidate import from_values
from search.planning.catalogue import load
from spaces import SpaceError
from spaces.loader import shipped_spaces
from spaces.parameter import Choice, Fixed, Float, Integer, Kind, Ordered
from spaces.space import TrainingLength


def kinds(lines: str) -> dict[str, Kind]:
    """By name, the family left out."""
    space = parse(f"description: d\nfamily: fast\n{lines}")
    return {parameter.name: parameter.kind for parameter in space.parameters[1:]}


def test_a_good_file_becomes_a_space() -> None:
    space = parse(GOOD)
    assert (space.name, space.source, space.family) == ("t", "t.yaml", "fast")
    assert space.length == TrainingLength(trial=4, retrain=16)
    architecture = ("family", "stages", "width.1", "width.2", "width.4", "activation", "kernel.1")
    names = [*(f"architecture.{name}" for name in architecture), "recipe.learning_rate", "recipe.momentum"]
    assert [parameter.name for parameter in space.parameters] == names
    assert space.parameters[7].kind == Float(0.0001, 0.1, log=True)
    assert space.limits == {"flops": 40e6}
    assert space.baselines[0].values["recipe.momentum"] == 0.85


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("flip: {choice: ['none', \"random\"]}", Choice(("none", "random"))),
        ("averaging: true", Fixed(True)),
        ("mixup: {float: [0, 1], step: 0.5}", Float(0, 1, step=0.5)),
        ("batch_size: {integer: [64, 512], log: true}", Integer(64, 512, log=True)),
        ("batch_size: {ordered: [64, 128, 256]}", Ordered((64, 128, 256))),
        ("mixup: {ordered: [0.0, 1e-3]}", Ordered((0.0, 0.001))),
    ],
)
def test_each_form_becomes_its_kind(written: str, kind: Kind) -> None:
    assert [*kinds(f"recipe: {{{written}}}").values()] == [kind]


def test_numbers_below_a_name_are_its_entries_and_a_step_skips_what_the_field_refuses() -> None:
    written = "width: {1: 16, 2: {ordered: [16, 32]}}, depth.3: 1, kernel.1: {integer: [3, 5], step: 2}"
    assert kinds(f"architecture: {{{written}}}") == {
        "architecture.width.1": Fixed(16),
        "architecture.width.2": Ordered((16, 32)),
        "architecture.depth.3": Fixed(1),
        "architecture.kernel.1": Integer(3, 5, step=2),
    }


@pytest.mark.parametrize("written", ["width: 32", "width: {integer: [8, 32]}", "width: {ordered: [8, 32]}"])
def test_one_value_or_kind_stands_for_every_stage(written: str) -> None:
    space = parse(f"description: d\nfamily: fast\narchitecture: {{stages: 4, {written}}}")
    values = {"architecture.width": 32, "architecture.stages": 4, "architecture.family": "fast"}
    assert space.check(values) == []
    assert from_values(values).architecture.width == (32,) * 4  # type: ignore[union-attr]


def test_shipped_spaces_are_named_and_the_unknown_is_near_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fast.yaml", "cnn.yaml", "baselines.yaml", "loader.py"):
        (tmp_path / name).write_text(GOOD)
    monkeypatch.setattr("spaces.loader.files", lambda _: tmp_path)
    assert shipped_spaces() == ["cnn", "fast"]
    assert load("fast").name == "fast"
    with pytest.raises(SpaceError, match=r"^fsat: is not a shipped space, nearest: fast; known: cnn, fast; a file"):
        load("fsat")
    with pytest.raises(SpaceError, match="baselines: is not a shipped space"):
        load("baselines")


def test_a_file_is_loaded_by_its_path_with_windows_ends(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    space = load(str(path))
    assert (space.name, space.source) == ("mine", str(path))
    assert space.fingerprint == parse(GOOD).fingerprint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ""),
        ("a: 1\n".encode("utf-16"), ":1: a space file must be UTF-8 text"),
        (b"a: 1\n" * 2_000_000, "is larger than 200000 bytes"),
        (b"\0" * 100, ":1: there must be no control characters"),
    ],
    ids=lambda part: repr(part)[:30],
)
def test_an_unreadable_file_says_why(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "my.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpaceError) as caught:
        load(str(path))
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    for name in ("pipe.yaml", "folder.yaml"):
        with pytest.raises(SpaceError, match="is not a file"):
            load(str(tmp_path / name))
    for source in ("/dev/zero", "./", "a\0.yaml", "a" * 5000 + ".yaml", "../none", str(tmp_path / "loop.yaml")):
        with pytest.raises(SpaceError):
            load(source)


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
    text, started = StringIO(), time.monotonic()
    YAML(typ="safe", pure=True).dump({"description": "d", "family": "fast", **data}, text)
    loads_or_explains(text.getvalue())
    assert time.monotonic() - started < 1
