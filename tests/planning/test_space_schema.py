"""The schema of a space file: valid, true of every shipped space, as strict about names and values as the loader."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from space_texts import GOOD, parse

from search.candidate import FAMILIES, Recipe, checks
from search.planning.space_schema import space_schema
from spaces import SpaceError
from spaces.loader import shipped_spaces

SCHEMA = Draft202012Validator(space_schema())


def as_an_editor_reads(text: str) -> Any:
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


def test_it_is_a_schema_and_json() -> None:
    Draft202012Validator.check_schema(json.loads(json.dumps(space_schema(), allow_nan=False)))


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_shipped_space_is_right_by_it(name: str) -> None:
    text = (files("spaces") / f"{name}.yaml").read_text(encoding="utf-8")
    family = as_an_editor_reads(text)["family"]
    for schema in (SCHEMA, Draft202012Validator(space_schema(family))):
        assert list(schema.iter_errors(as_an_editor_reads(text))) == []


def test_every_field_says_what_it_is_and_takes_its_default() -> None:
    definitions = space_schema()["$defs"]
    for part, owner in {**FAMILIES, "recipe": Recipe}.items():
        known = definitions[part]["properties"]
        assert [*known] == [field.name for field in fields(owner)]  # type: ignore[arg-type]
        for name, field in known.items():
            default = field["default"]
            value = definitions[f"{part}.{name}"]["anyOf"][0]
            entries = default if isinstance(default, tuple) else (default,)
            assert all(Draft202012Validator(value).is_valid(entry) for entry in entries), (part, name)
            assert len(field["description"]) > 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("family: fast", "family: fsat"),
        ("momentum: {float: [0.8", "momentun: {float: [0.8"),
        ("momentum: {float: [0.8, 0.95]", "momentum: {float: [0.8, 1.5]"),
        ("step: 0.01", "stp: 0.01"),
        ("activation: {choice: [relu, gelu]}", "activation: {choice: [relu, tanh]}"),
        ("1: {integer: [16, 64], step: 16}", "9: {integer: [16, 64], step: 16}"),
        ("{integer: [2, 4]}", "{integer: [2, 9]}"),
        ("kernel.1: 3", "kernel.1: 4"),
        ("flops: {max: 40e6}", "flop: {max: 40e6}"),
        ("trial: 4", "trial: 0"),
    ],
)
def test_a_mistake_of_the_loader_is_one_of_the_schema(old: str, new: str) -> None:
    assert GOOD.count(old) == 1
    wrong = GOOD.replace(old, new)
    with pytest.raises(SpaceError):
        parse(wrong)
    assert SCHEMA.is_valid(as_an_editor_reads(GOOD))
    assert not SCHEMA.is_valid(as_an_editor_reads(wrong))


def test_the_fields_are_printed_with_type_range_unit_and_default(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    code, output, _ = call("spaces", "fields", "cnn")
    lines = {words[0]: " ".join(words) for line in output.splitlines() if (words := line.split())}
    assert code == 0
    assert lines["batch_size"] == "batch_size integer 1 .. 65536 256 images that a step trains on"
    assert lines["translate"] == "translate integer 0 .. 8 2 pixels, each way, edges reflected"
    assert lines["learning_rate"] == "learning_rate float above 0 .. 1000 10.0 peak of the schedule"
    assert lines["width"] == "width (.1, .2, ...) integer 1 .. 4096 32, 64, 128 channels of each stage"
    assert lines["padding"].startswith("padding choice same | valid | 1 | 2 | 3 same pixels")
    assert lines["averaging"].startswith("averaging true or false true report")
    names = {name.split(".")[1] for name in checks("cnn")} - {"family"}
    assert names <= lines.keys()
    assert json.loads(call("spaces", "fields", "--schema")[1]) == json.loads(json.dumps(space_schema()))
    assert call("spaces", "fields", "cmn")[0] == 2
    assert "nearest: cnn" in call("spaces", "fields", "cmn")[2]
