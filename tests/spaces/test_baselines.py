"""Published recipes: they are the networks that were published, and are trained and tested once like any other."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from pathlib import Path

import pytest
from rich.console import Console
from small_networks import CIFAR10

from search.candidate import from_values
from search.console.follow import follow_baseline
from search.console.spaces import baselines_table
from search.data import synthetic
from search.deciding import baseline
from search.deciding.baseline import BaselineReproduction, BaselineStep, baseline_length, reproduce_baseline
from search.deciding.request import BaselineRequest
from search.networks.build import build
from search.searching.request import Search
from search.searching.setup import Setup
from search.slots.signals import InterruptedSearch
from search.training.result import EpochResult
from spaces import SpaceError
from spaces.baselines import PLAIN, PublishedRecipe, find_baseline, load_baselines
from studies import StudyError
from studies.ledger import Opening, openings, record
from studies.storage import opened, storage_url

KNOWN = load_baselines()
ASKED = {"mlp", "seed000", "seed002", "seed003", "seed004", "vgg", "resnet-small", "resnet", "vgg16"}
TINY = {"stages": 2, "width.1": 4, "width.2": 8, "pool": 3, "batch_norm": False, "hidden_layers": 0}
RECIPE = {"learning_rate": 0.01, "momentum": 0.0, "batch_size": 64, "flip": "none", "translate": 0}
SMALL = PublishedRecipe(
    name="small",
    title="A small one",
    source="nowhere",
    reported=10.5,
    chosen_by="nobody",
    epochs=3,
    values={"architecture.family": "cnn", **PLAIN}
    | {f"architecture.{name}": value for name, value in TINY.items()}
    | {f"recipe.{name}": value for name, value in RECIPE.items()},
)

TEST = synthetic.test().fingerprint


def test_every_recipe_that_the_field_knows_is_there_and_shown() -> None:
    assert KNOWN.keys() >= ASKED
    console = Console(width=120, record=True)
    console.print(baselines_table(KNOWN.values()))
    text = console.export_text()
    assert all(name in text for name in KNOWN)
    assert "90.62 %" in text


@pytest.mark.parametrize("name", KNOWN)
def test_the_network_has_as_many_weights_as_was_published(name: str) -> None:
    network = build(from_values(KNOWN[name].values).architecture, images=CIFAR10, seed=0, device="meta")
    assert KNOWN[name].parameters in (None, sum(weights.numel() for weights in network.parameters()))


def test_what_a_notebook_does_not_do_is_off() -> None:
    recipe = from_values(KNOWN["seed002"].values).recipe
    assert (recipe.decoupled, recipe.label_smoothing, recipe.averaging) == (False, 0, False)
    assert recipe.schedule == "constant"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SpaceError, match=r"seed03: is not a known baseline, nearest: seed003; known: mlp, seed000"):
        find_baseline("seed03")


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
    length = baseline_length(SMALL, question, images=1000, speed=1000 / 19)
    assert (length.epochs, length.images) == (epochs, images)
    assert length.budget_minutes == (None if question.as_published or question.epochs else question.minutes)


def stop_at_an_epoch(step: BaselineStep) -> None:
    if isinstance(step, EpochResult):
        signal.raise_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> tuple[BaselineReproduction, Path, str]:
    """One baseline, really trained with a stop and tested on generated images; its folder, and what was drawn."""
    folder = tmp_path_factory.mktemp("runs")
    console = Console(width=120, record=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline, "find_baseline", lambda _: SMALL)
        patch.setattr(baseline.Pool, "measure", lambda *_, **__: 1e6)
        with opened(storage_url(folder, None)) as storage:
            record(Opening(by="study fast", trial=7, weights_sha256=("ab",), data_sha256=TEST), storage=storage)
        question = BaselineRequest(name="small", folder=folder, data="synthetic", device="cpu", minutes=1)
        with pytest.raises(InterruptedSearch, match="SIGTERM"):
            list(map(stop_at_an_epoch, reproduce_baseline(question)))
        assert not (folder / "baselines/small.json").exists()
        patch.setattr(baseline.Pool, "measure", lambda *_, **__: 1.0)  # so slow that only one epoch would fit now
        found = follow_baseline(reproduce_baseline(question), console=console)
    assert isinstance(found, BaselineReproduction)
    return found, folder / "baselines", console.export_text()


def test_it_is_tested_once_and_the_opening_is_in_the_ledger(reproduced: tuple[BaselineReproduction, Path, str]) -> None:
    found, folder, _ = reproduced
    ledger = openings(storage_url(folder.parent, None), test=TEST, training="")
    assert [opening.by for opening in ledger] == ["study fast", "baseline small"]
    assert ledger == found.openings
    assert ledger[1].weights_sha256 == (hashlib.sha256((folder / "small.safetensors").read_bytes()).hexdigest(),)
    assert len(found.test.correct) == 1
    kept = json.loads((folder / "small.json").read_text())
    assert kept["reproduced"] == found.test.accuracy
    assert kept["interval"][0] <= kept["reproduced"] <= kept["interval"][1]
    assert kept["test_accuracy_with_views"] == found.test.accuracy_with_views
    assert (kept["epochs"], kept["published_epochs"], kept["budget_minutes"]) == (3, 3, 1)
    assert kept["provenance"]["data"].startswith("generated")
    assert not list(folder.glob("small-*"))  # its checkpoints


def test_reported_stands_against_reproduced_with_the_budget(reproduced: tuple[BaselineReproduction, Path, str]) -> None:
    found, _, drawn = reproduced
    assert "3 of 3 published epochs, a budget of 1 minutes" in drawn
    assert "warning: this test set was opened 1 time before in this storage: by study fast, trial 7, 20" in drawn
    assert re.search("test set opened +2 times", drawn)
    assert "10.50 %, chosen by nobody" in drawn
    assert f"{100 * found.test.accuracy:.2f} %" in drawn
    assert re.search(f"with test-time views +{100 * found.test.accuracy_with_views:.2f} %, nothing rests on it", drawn)
    assert "The verdict rests on the plain answers" in drawn
    assert "it goes on from its checkpoint after epoch 1\nepoch 2/3" in drawn
    assert "epoch 3/3" in drawn
    assert "not CIFAR-10, on which it was reported" in drawn


def setup_around_seed003(folder: Path, learning_rate: str, *names: str) -> Setup:
    """A search of a space around seed003, of which only the learning rate varies, with these recipes first."""
    lines: dict[str, list[str]] = {"architecture": [], "recipe": []}
    for name, value in KNOWN["seed003"].values.items():
        part, _, field = name.partition(".")
        if field != "family":
            varying = name == "recipe.learning_rate"
            lines[part].append(f"  {field}: {learning_rate if varying else json.dumps(value)}\n")
    text = "".join(f"{part}:\n{''.join(rows)}" for part, rows in lines.items())
    path = folder / "around.yaml"
    path.write_text(f"description: around seed003\nfamily: cnn\n{text}")
    return Setup.of(Search(space=str(path), folder=folder, data="synthetic", device="cpu", enqueue=names))


def test_a_study_tries_a_published_recipe_first(tmp_path: Path) -> None:
    setup = setup_around_seed003(tmp_path, "{float: [0.001, 0.1], log: true}", "seed003")
    assert setup.queue() == [("seed003", {"recipe.learning_rate": 0.01})]


@pytest.mark.parametrize("name", ["seed000", "seed002", "seed003"])
def test_the_space_of_the_notebooks_holds_them(tmp_path: Path, name: str) -> None:
    search = Search(space="notebooks", folder=tmp_path, data="synthetic", device="cpu", enqueue=(name,))
    *_, (queued, kept) = Setup.of(search).queue()
    assert queued == name
    assert kept["recipe.learning_rate"] == KNOWN[name].values["recipe.learning_rate"]


def test_a_recipe_outside_the_space_is_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    narrow, words = "{float: [0.02, 0.1], log: true}", r"recipe.learning_rate must be 0.02 .. 0.1, log, not 0.01\n"
    with pytest.raises(StudyError, match=rf"{words}.*cifar-search base"):
        setup_around_seed003(tmp_path, narrow, "seed003")
    with pytest.raises(StudyError, match="seed002 is not in space around"):
        setup_around_seed003(tmp_path, narrow, "seed002")
