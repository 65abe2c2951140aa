"""Published recipes: they are the networks that were published, and are trained and tested once like any other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from search.candidate import from_values
from search.console.baseline import follow
from search.console.spaces import baselines_table
from search.deciding import baseline
from search.deciding.baseline import BaselineReproduction, baseline_length, reproduce_baseline
from search.deciding.request import BaselineRequest
from search.networks.build import build
from search.planning.catalogue import baselines, families
from search.searching.setup import Opening, Search
from spaces import SpaceError
from spaces.baselines import PLAIN, PublishedRecipe, find_baseline, parse_baselines
from studies import StudyError

KNOWN = baselines()
ASKED = {"mlp", "seed000", "seed002", "seed003", "seed004", "vgg", "resnet-small", "resnet", "vgg16"}

GOOD = """\
small:
  title: A small one
  source: nowhere
  reported: 10.5
  chosen_by: nobody
  epochs: 3
  family: cnn
  architecture: {stages: 2, width: {1: 4, 2: 8}, pool: 3, batch_norm: false, hidden_layers: 0}
  recipe: {learning_rate: 0.01, momentum: 0.0, batch_size: 64, flip: none, translate: 0}
"""


def wrong(text: str) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        parse_baselines(text, source="mine.yaml", families=families())
    return str(caught.value).splitlines()


def test_every_recipe_that_the_field_knows_is_there() -> None:
    assert KNOWN.keys() >= ASKED


@pytest.mark.parametrize("name", [name for name, published in KNOWN.items() if published.parameters])
def test_the_network_has_as_many_weights_as_was_published(name: str) -> None:
    network = build(from_values(KNOWN[name].values).architecture, seed=0, device="meta")
    assert sum(weights.numel() for weights in network.parameters()) == KNOWN[name].parameters


def test_what_a_notebook_does_not_do_is_off() -> None:
    (small,) = parse_baselines(GOOD, source="mine.yaml", families=families()).values()
    recipe = from_values(small.values).recipe
    assert small.values.keys() > PLAIN.keys()
    assert (recipe.decoupled, recipe.label_smoothing, recipe.averaging, recipe.schedule) == (
        False,
        0,
        False,
        "constant",
    )


def test_every_mistake_is_said_with_its_line() -> None:
    text = (
        GOOD.replace("reported: 10.5", "reported: much")
        + GOOD.replace("small:", "other:").replace("family: cnn", "family: cnnn")
        + GOOD.replace("small:", "third:").replace("stages: 2", "stage: 2").replace("momentum: 0.0", "momentum: 1.5")
    )
    found = wrong(text)
    assert [line.split(":")[1] for line in found] == ["4", "16", "26", "27"]
    assert "nearest: cnn" in found[1]
    assert "nearest: architecture.stages" in found[2]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SpaceError, match=r"seed03: is not a known baseline, nearest: seed003; known: mlp, seed000"):
        find_baseline("seed03", families=families())


@pytest.mark.parametrize(
    ("question", "epochs", "images"),
    [
        (BaselineRequest(name="small", minutes=1), 3, None),  # 3 epochs take 60 * 1.04 / 3 seconds each
        (BaselineRequest(name="small", minutes=0.8), 2, None),
        (BaselineRequest(name="small", minutes=0.2), 1, 500),  # not even one epoch fits
        (BaselineRequest(name="small", minutes=0.001), 1, 250),  # no less than a quarter of the images says anything
        (BaselineRequest(name="small", minutes=0.001, as_published=True), 3, None),
        (BaselineRequest(name="small", minutes=0.001, epochs=7), 7, None),
    ],
)
def test_the_budget_shortens_the_training_and_nothing_else(
    question: BaselineRequest, epochs: int, images: int | None
) -> None:
    (small,) = parse_baselines(GOOD, source="mine.yaml", families=families()).values()
    length = baseline_length(small, question, images=1000, speed=1000 / 19)
    assert (length.epochs, length.images) == (epochs, images)
    assert length.minutes == (None if question.as_published or question.epochs else question.minutes)


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> tuple[BaselineReproduction, Path, str]:
    """One baseline, really trained and tested on generated images; its folder, and what was drawn."""
    folder = tmp_path_factory.mktemp("runs")
    (small,) = parse_baselines(GOOD, source="mine.yaml", families=families()).values()
    console = Console(width=120, record=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline, "find_baseline", lambda *_, **__: small)
        patch.setattr(baseline.Pool, "measure", lambda *_, **__: 1e6)
        question = BaselineRequest(name="small", folder=folder, data="synthetic", device="cpu", minutes=1)
        found = follow(reproduce_baseline(question), console=console)
    return found, folder / "baselines", console.export_text()


def test_it_is_tested_once_and_the_opening_is_in_the_ledger(reproduced: tuple[BaselineReproduction, Path, str]) -> None:
    found, folder, _ = reproduced
    (line,) = (folder / "openings.jsonl").read_text().splitlines()
    assert json.loads(line)["name"] == "baseline small"
    assert len(found.test.correct) == 1
    kept = json.loads((folder / "small.json").read_text())
    assert kept["reproduced"] == found.test.accuracy
    assert kept["interval"][0] <= kept["reproduced"] <= kept["interval"][1]
    assert kept["test_accuracy_with_views"] == found.test.accuracy_with_views
    assert (kept["epochs"], kept["published_epochs"], kept["budget_minutes"]) == (3, 3, 1)
    assert kept["provenance"]["data"].startswith("generated")


def test_reported_stands_against_reproduced_with_the_budget(reproduced: tuple[BaselineReproduction, Path, str]) -> None:
    found, _, drawn = reproduced
    assert "3 of 3 published epochs, a budget of 1 minutes" in drawn
    assert "10.50 %, chosen by nobody" in drawn
    assert f"{100 * found.test.accuracy:.2f} %" in drawn
    assert re.search(f"with test-time views +{100 * found.test.accuracy_with_views:.2f} %, nothing rests on it", drawn)
    assert "The verdict rests on the plain accuracy" in drawn
    assert "epoch 3/3" in drawn
    assert "a rehearsal" in drawn


def test_the_list_has_every_name_and_number() -> None:
    console = Console(width=120, record=True)
    console.print(baselines_table(KNOWN))
    text = console.export_text()
    assert all(name in text for name in KNOWN)
    assert "90.62 %" in text


def space_with(folder: Path, learning_rate: str) -> Path:
    """A space around seed003, of which only the learning rate varies."""
    published: PublishedRecipe = KNOWN["seed003"]
    fixed = {name: value for name, value in published.values.items() if name != "architecture.family"}
    lines = [f"  {name.partition('.')[2]}: {json.dumps(value)}" for name, value in fixed.items()]
    parts = {group: [line for name, line in zip(fixed, lines, strict=True) if name.startswith(group)] for group in
             ("architecture", "recipe")}  # fmt: skip
    text = "description: around seed003\nfamily: cnn\n"
    text += "".join(f"{group}:\n" + "\n".join(rows) + "\n" for group, rows in parts.items())
    path = folder / "around.yaml"
    path.write_text(text.replace("learning_rate: 0.01", f"learning_rate: {learning_rate}"))
    return path


def opening(path: Path, folder: Path, *names: str) -> Opening:
    return Opening.of(Search(space=str(path), folder=folder, data="synthetic", device="cpu", enqueue=names))


def test_a_study_tries_a_published_recipe_first(tmp_path: Path) -> None:
    path = space_with(tmp_path, "{float: [0.001, 0.1], log: true}")
    assert opening(path, tmp_path, "seed003").queue() == [("seed003", {"recipe.learning_rate": 0.01})]


@pytest.mark.parametrize("name", ["seed000", "seed002", "seed003"])
def test_the_space_of_the_notebooks_holds_them(tmp_path: Path, name: str) -> None:
    search = Search(space="notebooks", folder=tmp_path, data="synthetic", device="cpu", enqueue=(name,))
    *_, (queued, kept) = Opening.of(search).queue()
    assert queued == name
    assert kept["recipe.learning_rate"] == KNOWN[name].values["recipe.learning_rate"]


def test_a_recipe_outside_the_space_is_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    path = space_with(tmp_path, "{float: [0.02, 0.1], log: true}")
    with pytest.raises(
        StudyError, match=r"recipe.learning_rate must be 0.02 .. 0.1, log, not 0.01\n.*cifar-search base"
    ):
        opening(path, tmp_path, "seed003")
    with pytest.raises(StudyError, match="seed002 is not in space around"):
        opening(path, tmp_path, "seed002")
