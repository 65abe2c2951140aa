"""Checking a space: what it says of draws, sizes, groups and mistakes of design, and the commands that show it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
from space_texts import parse

from search.container import Container
from search.inspecting import check as checking
from search.inspecting.check import check
from search.planning.catalogue import load
from spaces.loader import shipped_spaces

SMALL = """\
description: Tiny networks.
family: cnn
architecture: {stages: 2, width: {ordered: [4, 8]}, depth: 1, hidden_layers: 0, pool: 4}
recipe: {learning_rate: {float: [0.5, 8.0], log: true}}
"""


def messages(text: str, *, draws: int = 20) -> list[tuple[str, str]]:
    return [(finding.level, finding.message) for finding in check(parse(text), draws=draws).findings]


def test_a_good_space_is_clean_and_its_sizes_are_those_of_its_networks() -> None:
    checked = check(parse(SMALL), draws=20)
    assert (checked.draws, checked.infeasible, checked.impossible, checked.commonest) == (20, 0, 0, None)
    assert checked.findings == ()
    parameters = checked.sizes["parameters"]  # convolution, its bias, batch norm; twice; then 10 classes of 4 pixels
    assert parameters.smallest == (27 * 4 + 12) + (36 * 4 + 12) + 10 * (4 * 4 + 1)
    assert parameters.largest == (27 * 8 + 24) + (72 * 8 + 24) + 10 * (4 * 8 + 1)
    assert parameters.median in (parameters.smallest, parameters.largest)
    assert checked.sizes["flops"].maximum is None
    assert check(parse(SMALL), draws=20) == checked


@pytest.mark.parametrize(
    ("limit", "level", "words"),
    [
        (100, "error", "none of the draws may be trained: 100% are over the limit of parameters; narrow the ranges"),
        (700, "error", " of the draws may not be trained: "),
        (1000, "warning", " of the draws may not be trained: "),
        (2000, "", ""),
    ],
)
def test_draws_over_a_limit_are_counted_by_the_limit(limit: int, level: str, words: str) -> None:
    text = SMALL.replace("[4, 8]", "[4, 6, 8]")  # 446, 767 and 1,178 parameters
    checked = check(parse(f"{text}constraints: {{parameters: {{max: {limit}}}}}\n"), draws=40)
    assert checked.over.get("parameters", 0) == checked.infeasible
    assert checked.sizes["parameters"].maximum == limit
    assert [finding.level for finding in checked.findings] == ([level] if level else [])
    assert all(words in finding.message for finding in checked.findings)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [  # 32 -> 8 -> 2 pixels: the third pooling has none left
        ("stages: 2", "stages: 3", "pooling of stage 3"),
        ("width: {ordered: [4, 8]}", "width: {1: 4, 3: 4}", "width.2 is missing before architecture.width.3"),
    ],
)
def test_networks_that_cannot_be_are_counted_with_the_commonest_reason(old: str, new: str, reason: str) -> None:
    checked = check(parse(SMALL.replace(old, new)), draws=5)
    assert (checked.impossible, checked.infeasible, checked.over, checked.sizes) == (5, 5, {}, {})
    assert reason in str(checked.commonest)
    found = checked.findings[0]
    assert found.level == "error"
    assert "none of the draws may be trained: 100% make no network, most often: " in found.message


def test_a_baseline_that_may_not_be_trained_is_an_error() -> None:
    text = SMALL.replace("[4, 8]", "[4, 5, 6, 7, 8, 9, 60]")
    limits = "constraints: {parameters: {max: 30000}}\n"
    baselines = "baselines: {small: {architecture.width: 4, recipe.learning_rate: 1}}\n"
    assert messages(text + limits + baselines) == []
    ((level, message),) = messages(text + limits + baselines.replace("width: 4", "width: 60"))
    assert (level, message.split(":")[0]) == ("error", "baseline small may not be trained")
    assert "over the limit of the space: parameters " in message


CONDITIONAL = """\
description: Layers that come and go.
family: mlp
architecture:
  hidden_layers: {integer: [0, 2]}
  hidden:
    1: {integer: [4, 8], when: {architecture.hidden_layers: [1, 2]}}
    2: {integer: [4, 8], when: {architecture.hidden_layers: 2}}
recipe:
  optimizer: {choice: [sgd, adamw]}
  momentum: {float: [0.8, 0.9], when: {recipe.optimizer: sgd}}
  mixup: {float: [0, 1], when: {recipe.optimizer: sgd}}
"""


def test_parameters_that_are_there_together_form_a_group() -> None:
    groups = check(parse(CONDITIONAL), draws=60).groups
    assert [group.parameters for group in groups] == [
        ("architecture.hidden_layers", "recipe.optimizer"),
        ("architecture.hidden.1",),
        ("recipe.momentum", "recipe.mixup"),
        ("architecture.hidden.2",),
    ]
    assert groups[0].share == 1
    assert groups[1].share == pytest.approx(2 / 3, abs=0.2)


def test_a_parameter_that_is_hardly_ever_there_is_named() -> None:
    text = """\
description: d
family: mlp
architecture: {hidden_layers: 0}
recipe:
  batch_size: {integer: [1, 1000]}
  mixup: {float: [0, 1], when: {recipe.batch_size: 1}}
"""
    rare = ("warning", "hardly ever sampled, in 0.0% of the draws: recipe.mixup; loosen the condition")
    assert messages(text) == [rare]
    assert messages(text.replace("1000", "2")) == []


@pytest.mark.parametrize(
    ("name", "options", "better"),
    [
        ("batch_size", "[16, 32, 48]", "{integer: [16, 48], step: 16}"),
        ("batch_size", "[66, 64, 65]", "{integer: [64, 66]}"),
        ("batch_size", "[128, 64, 32]", "{ordered: [32, 64, 128]}"),
        ("learning_rate", "[0.5, 1, 2]", "{ordered: [0.5, 1, 2]}"),
        ("mixup", "[0.1, 0.2, 0.30]", "{ordered: [0.1, 0.2, 0.3]}"),
        ("batch_size", "[16, 32]", None),
        ("flip", "[none, random, alternating]", None),
        ("averaging", "[false, true]", None),
    ],
)
def test_a_choice_of_numbers_is_told_how_to_be_written(name: str, options: str, better: str | None) -> None:
    text = SMALL.replace("recipe: {", f"recipe: {{{name}: {{choice: {options}}}, extra: ")
    text = text.replace(", extra: learning_rate: {float: [0.5, 8.0], log: true}", "")
    message = f"recipe.{name} is a choice of numbers, whose order a sampler cannot see; write {better}"
    assert messages(text, draws=10) == ([("warning", message)] if better else [])
    if better:
        assert messages(text.replace(f"{{choice: {options}}}", better), draws=10) == []


def test_a_parameter_that_never_changes_the_candidate_is_named() -> None:
    entries = "width: {1: 4, 2: {integer: [4, 8]}, 3: {integer: [4, 8]}}"
    text = SMALL.replace("width: {ordered: [4, 8]}", entries)
    useless = "never changes the candidate; leave it out, or give it a `when`"
    assert messages(text) == [("warning", f"architecture.width.3 {useless}")]
    assert messages(text.replace("stages: 2", "stages: {integer: [2, 3]}").replace("pool: 4", "pool: 2")) == []
    text = SMALL.replace("recipe: {", "recipe: {flip: {choice: [none]}, ")
    assert messages(text) == [("warning", f"recipe.flip {useless}")]


def test_a_shipped_space_and_one_whose_parameters_bring_others_are_clean() -> None:
    assert check(load("smoke"), draws=40).findings == ()
    assert not any("never changes" in message for _, message in messages(CONDITIONAL, draws=40))


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(call: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`cifar-search spaces` with these words, in a wide terminal."""
    monkeypatch.setenv("COLUMNS", "160")
    return partial(call, "spaces")


def test_spaces_are_listed_with_what_varies_in_them(call: Call) -> None:
    code, output, _ = call()
    assert code == 0
    (line,) = [line for line in output.splitlines() if line.split()[:1] == ["smoke"]]
    assert line.split()[1:5] == ["cnn", "6", "2", "epochs"]
    assert load("smoke").description in line


def test_a_space_is_shown_with_ranges_conditions_limits_and_baselines(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    limits = "constraints: {flops: {max: 40e6}}\n"
    values = "{hidden_layers: 1, hidden.1: 4}, recipe: {optimizer: sgd, momentum: 0.85, mixup: 0}"
    path.write_text(f"{CONDITIONAL}{limits}baselines: {{plain: {{architecture: {values}}}}}\n")
    code, output, _ = call("show", path)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert code == 0
    assert "architecture.family fixed mlp" in lines
    assert "architecture.hidden.1 integer 4 .. 8 when architecture.hidden_layers is 1 or 2" in lines
    assert "limit: flops at most 40,000,000" in lines
    assert "baseline plain: architecture.hidden_layers 1, architecture.hidden.1 4, " in " ".join(lines)


@pytest.mark.parametrize(
    ("old", "new", "code", "last"),
    [
        ("", "", 0, "no findings"),
        ("recipe: {", "recipe: {flip: {choice: [none]}, ", 0, "warning"),
        ("description", "constraints: {flops: {max: 1}}\ndescription", 2, "error"),
    ],
)
def test_checking_ends_with_0_for_warnings_and_2_for_errors(
    call: Call, tmp_path: Path, old: str, new: str, code: int, last: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL.replace(old, new) if old else SMALL)
    found, output, _ = call("check", path, "--draws", 5)
    assert (found, output.splitlines()[-1].split(":")[0]) == (code, last)


def test_a_check_is_json_on_demand(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(CONDITIONAL + "constraints: {flops: {max: 1}}\n")
    code, output, errors = call("check", path, "--draws", 20, "--json")
    found = json.loads(output)
    assert (code, errors) == (2, "")
    assert (found["space"], found["draws"], found["over"]) == ("mine", 20, {"flops": 20})
    assert found["groups"][0] == {"parameters": ["architecture.hidden_layers", "recipe.optimizer"], "share": 1.0}
    assert found["findings"][0]["level"] == "error"


def test_a_wrong_file_tells_every_mistake_and_ends_with_2(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL.replace("stages", "stagse").replace("learning_rate", "lerning_rate"))
    for command in ("show", "check"):
        code, output, errors = call(command, path)
        assert (code, output) == (2, "")
        assert f"{path}:3: architecture.stagse" in errors
        assert f"{path}:4: recipe.lerning_rate" in errors


@pytest.mark.slow  # needs quiet cores
@pytest.mark.parametrize("name", shipped_spaces())
def test_every_shipped_file_is_clean_in_less_than_15_seconds(name: str) -> None:
    start = time.monotonic()
    program = Path(sys.executable).with_name("cifar-search")
    done = subprocess.run([program, "spaces", "check", name], capture_output=True, text=True, check=True)
    print(f"{name}: {time.monotonic() - start:.1f} s")
    assert done.stdout.endswith("no findings\n")
    assert time.monotonic() - start < 15


def test_without_a_dev_shm_that_can_be_written_one_core_checks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = check(parse(SMALL), draws=20)
    monkeypatch.setattr(checking, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(Container, "cores", lambda _: (2, 2))
    forks = Mock(side_effect=OSError(30, "Read-only file system"))  # of a semaphore
    monkeypatch.setattr(checking, "ProcessPoolExecutor", forks)

    assert check(parse(SMALL), draws=20) == whole
    assert forks.called
