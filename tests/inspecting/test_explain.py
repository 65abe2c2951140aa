"""What a candidate is made of, in a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_networks import CIFAR10
from tiny import MANIFEST, database, starter

from search.candidate import from_values
from search.console.spaces import layers_text
from search.inspecting.explain import ExplainRequest, candidate_of, explain
from search.networks.count import cost
from spaces import SpaceError
from studies import StudyError

VALUES = {
    "architecture.family": "cnn", "architecture.stages": 2, "architecture.width.1": 4, "architecture.width.2": 18,
    "architecture.depth": 1, "architecture.pool": 3, "architecture.hidden_layers": 0, "recipe.batch_size": 256,
}  # fmt: skip
CNN = "architecture: {stages: 1, width: {1: {integer: [4, 8]}}, hidden_layers: 0}"
SPACE = f"description: d\nfamily: cnn\n{CNN}\nrecipe: {{batch_size: 100}}\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with a pruned, two complete and a running trial."""
    runs = tmp_path_factory.mktemp("runs")
    (runs / "tiny").mkdir()
    with starter(database(runs))(manifest=replace(MANIFEST, epochs=1)) as study:
        for accuracy, end in ((0.1, study.prune), (0.3, study.complete), (0.2, study.complete)):
            asked = study.ask(lambda _: VALUES)
            assert asked is not None
            study.report(asked.number, epoch=1, accuracy=accuracy)
            end(asked.number)
        study.ask(lambda _: VALUES)
    return runs


def test_a_space_is_explained_by_a_baseline_and_a_published_recipe_by_its_name() -> None:
    first, named = (candidate_of(ExplainRequest(source="fast", baseline=name)) for name in (None, "airbench-muon"))
    assert first == named
    assert first.title == "space fast, baseline airbench-muon"
    with pytest.raises(SpaceError, match="there is no such baseline, not 'airbench', nearest: airbench-muon"):
        candidate_of(ExplainRequest(source="fast", baseline="airbench"))
    explanation = explain(ExplainRequest(source="seed000"))
    assert explanation.title.startswith("published recipe seed000: ")
    assert explanation.layers[0].arithmetic == "(32 - 3 + 2*0)/1 + 1 = 30"


def test_a_space_without_a_baseline_is_explained_by_a_draw_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SPACE)
    subject = candidate_of(ExplainRequest(source=str(file)))
    assert subject.note == "the space has no baseline: this is its first draw that may be trained, of seed 0"
    assert subject == candidate_of(ExplainRequest(source=str(file)))
    file.write_text(SPACE + "constraints: {parameters: {max: 1}}\n")
    with pytest.raises(StudyError, match=r"none of 64 draws of .*mine.yaml may be trained: over the limit"):
        candidate_of(ExplainRequest(source=str(file)))


def test_without_a_source_it_is_the_best_trial_or_the_one_that_is_named(runs: Path, tmp_path: Path) -> None:
    assert candidate_of(ExplainRequest(folder=runs)).title == "best trial 1 of study tiny"
    running = candidate_of(ExplainRequest(folder=runs, trial=3))
    assert (running.title, running.candidate) == ("trial 3 of study tiny", from_values(VALUES))
    with starter(database(tmp_path))(), pytest.raises(StudyError, match="has no complete trial yet"):
        explain(ExplainRequest(folder=tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trial": 4}, "study 'tiny' has no trial 4; its trials are 0 to 3"),
        ({"study": "tinny"}, "there is no study 'tinny'; did you mean 'tiny'"),
        ({"baseline": "a"}, "--baseline is of a space"),
        ({"source": "fast", "trial": 1}, "fast is no study"),
        ({"source": "seed000", "baseline": "a"}, "is a published recipe and has no baselines"),
    ],
)
def test_what_cannot_be_explained_is_a_sentence(runs: Path, changes: Mapping[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        explain(ExplainRequest(folder=runs, **changes))


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_fits_the_terminal_and_ends_in_the_totals(runs: Path, width: int) -> None:
    console = Console(file=(output := StringIO()), width=width)
    console.print(layers_text(explain(ExplainRequest(folder=runs)), width=width))
    lines = output.getvalue().splitlines()
    total = next(line for line in lines if line.startswith("total"))
    counted = cost(from_values(VALUES).architecture, images=CIFAR10)
    assert total.split()[1:3] == [f"{counted.parameters:,}", f"{counted.flops / 1e6:.2f}"]
    assert max(map(len, lines)) <= width
    assert sum("(32 - 3 + 2*0)/3 + 1 = 10.67, so 10" in line for line in lines) == 1
    classifier = next(line for line in lines if line.startswith("head.1"))
    assert "all" in classifier.split()
    if width == 80:  # both shapes of a layer that changes them
        first = next(number for number, line in enumerate(lines) if line.startswith("features.0 Conv2d"))
        assert "3x32x32" in lines[first]
        assert "4x32x32" in lines[first + 1]
        assert lines[first + 2].startswith("features.1 BatchNorm2d")


def test_the_program_prints_every_number(runs: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    call = partial(call, "explain", "--runs", runs)
    code, output, _ = call("--json")
    data = json.loads(output)
    assert code == 0
    for name in ("parameters", "flops", "memory_mb"):
        assert sum(layer[name] for layer in data["layers"]) == data[name]
    assert (data["title"], data["architecture"]["family"]) == ("best trial 1 of study tiny", "cnn")
    assert data["recipe"]["batch_size"] == 256
    assert data["layers"][0]["memory_mb"] == pytest.approx(256 * 4 * 32 * 32 * 4 / 1e6)
    assert data["layers"][0]["arithmetic"] == "(32 - 3 + 2*1)/1 + 1 = 32"
    assert (data["layers"][0]["receptive_field"], data["layers"][-1]["receptive_field"]) == (3, None)
    assert call("--trial", "9") == (4, "", "cifar-search: study 'tiny' has no trial 9; its trials are 0 to 3\n")
    code, output, errors = call("--study", "tiny")
    assert (code, errors, output.splitlines()[0]) == (0, "", "best trial 1 of study tiny: a network of family cnn")
