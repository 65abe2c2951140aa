"""What a candidate is made of, in a table and as JSON, and what a trained trial makes of an image, in pictures."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from rich.console import Console
from safetensors.torch import save
from tiny import MANIFEST, database, starter
from torch import nn

from search import cli
from search.candidate import Candidate, Cnn, Recipe, from_values
from search.console.layers import layers_text
from search.data import synthetic
from search.data.cifar10 import DataError, Images, fingerprint
from search.data.split import stratified
from search.inspecting.doctor import checkpoints_of
from search.inspecting.explain import Question, candidate_of, explain
from search.inspecting.filters import filters_png, image_png, maps_png
from search.inspecting.views import feature_maps, first_filters
from search.networks.build import build
from search.networks.count import cost
from search.slots.job import Job
from search.slots.job_runner import identity
from search.training.checkpoint import pack
from spaces import SpaceError
from studies import StudyError

VALUES = {
    "architecture.family": "cnn", "architecture.stages": 2, "architecture.width.1": 4, "architecture.width.2": 18,
    "architecture.depth": 1, "architecture.pool": 3, "architecture.hidden_layers": 0, "recipe.batch_size": 256,
}  # fmt: skip
SPACE = """
description: d
family: cnn
architecture: {stages: 1, width: {1: {integer: [4, 8]}}, hidden_layers: 0}
recipe: {batch_size: 100}
"""


pytestmark = pytest.mark.usefixtures("images")


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory, images: Images) -> Path:
    """A folder of runs with a pruned, two complete and a running trial, the better of them with weights."""
    runs = tmp_path_factory.mktemp("runs")
    split = stratified(images.labels, validation=200, seed=0)
    (runs / "tiny").mkdir()
    split.save(runs / "tiny" / "split.npz")
    known = {"split_fingerprint": split.fingerprint, "data_fingerprint": fingerprint(images)}
    study = starter(database(runs))(manifest=replace(MANIFEST, epochs=1, **known))  # type: ignore[arg-type]
    for accuracy in (0.1, 0.3, 0.2, None):
        asked = study.ask(lambda _: VALUES)
        assert asked is not None
        if accuracy is None:
            continue
        study.report(asked.number, epoch=1, accuracy=accuracy)
        if asked.number == 0:
            study.prune(0)
            continue
        candidate = from_values(asked.values)
        job = Job(name="", candidate=candidate, seed=asked.seed, epochs=1)
        payload = pack({"network": build(candidate.architecture, seed=1).state_dict()}, identity=identity(job))
        study.complete(asked.number, checkpoint=checkpoints_of(runs / "tiny", asked.number).finish(payload))
    checkpoints_of(runs / "tiny", 2).clear()
    return runs


@pytest.fixture
def runs(studied: Path, tmp_path: Path) -> Path:
    """A copy of it that may be written to."""
    return shutil.copytree(studied, tmp_path / "runs")


def question(runs: Path, **changes: object) -> Question:
    return replace(Question(folder=runs, data="synthetic"), **changes)  # type: ignore[arg-type]


def drawn(question: Question, *, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(layers_text(explain(question), width=width))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_a_space_is_explained_by_its_first_baseline_or_the_one_that_is_named() -> None:
    first, named = (candidate_of(Question(source="fast", baseline=name)) for name in (None, "airbench-muon"))
    assert first == named
    assert first.title == "space fast, baseline airbench-muon"
    with pytest.raises(SpaceError, match="there is no such baseline, not 'airbench', nearest: airbench-muon"):
        candidate_of(Question(source="fast", baseline="airbench"))


def test_a_space_without_a_baseline_is_explained_by_a_draw_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SPACE)
    asked = candidate_of(Question(source=str(file)))
    assert asked.note == "the space has no baseline: this is its first draw that may be trained, of seed 0"
    assert asked == candidate_of(Question(source=str(file)))
    file.write_text(SPACE + "constraints: {parameters: {max: 1}}\n")
    with pytest.raises(StudyError, match=r"none of 64 draws of .*mine.yaml may be trained: over the limit"):
        candidate_of(Question(source=str(file)))


def test_a_published_recipe_is_explained_by_its_name() -> None:
    found = explain(Question(source="seed000"))
    assert found.asked.title.startswith("published recipe seed000: ")
    assert found.layers[0].window is not None
    assert found.layers[0].window.arithmetic == "(32 - 3 + 2*0)/1 + 1 = 30"


def test_without_a_source_it_is_the_best_trial_or_the_one_that_is_named(runs: Path) -> None:
    assert candidate_of(question(runs)).title == "best trial 1 of study tiny"
    running = candidate_of(question(runs, trial=3))
    assert (running.title, running.candidate) == ("trial 3 of study tiny", from_values(VALUES))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trial": 4}, "study 'tiny' has no trial 4; its trials are 0 to 3"),
        ({"study": "tinny"}, "there is no study 'tinny'; did you mean 'tiny'"),
        ({"baseline": "a"}, "--baseline is of a space"),
        ({"source": "fast", "trial": 1}, "fast is no study"),
        ({"source": "fast", "pictures": "auto"}, "--pictures needs trained weights"),
        ({"source": "seed000", "baseline": "a"}, "is a published recipe and has no baselines"),
        ({"trial": 0, "pictures": "auto"}, "trial 0 is pruned and keeps no weights; `--trial 1` has them"),
        ({"trial": 2, "pictures": "auto"}, r"trial 2 has no weights here .*`cifar-search reproduce 2 .* --keep`"),
        ({"trial": 3, "pictures": "auto"}, "trial 3 is running and keeps no weights"),
    ],
)
def test_what_cannot_be_explained_is_a_sentence(runs: Path, changes: Mapping[str, object], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        explain(question(runs, **changes))


def test_a_study_without_a_complete_trial_has_no_best(tmp_path: Path) -> None:
    starter(database(tmp_path))()
    with pytest.raises(StudyError, match="has no complete trial yet"):
        explain(Question(folder=tmp_path))


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_fits_the_terminal_and_ends_in_the_totals(runs: Path, width: int) -> None:
    lines = drawn(question(runs), width=width)
    total = next(line for line in lines if line.startswith("total"))
    counted = cost(from_values(VALUES).architecture)
    assert total.split()[1:3] == [f"{counted.parameters:,}", f"{counted.flops / 1e6:.2f}"]
    assert max(map(len, lines)) <= width
    assert sum("(32 - 3 + 2*0)/3 + 1 = 10.67, so 10" in line for line in lines) == 1
    classifier = next(line for line in lines if line.startswith("head.1"))
    assert "all" in classifier.split()


def test_a_narrow_table_names_both_shapes_of_a_layer_that_changes_them(runs: Path) -> None:
    lines = drawn(question(runs), width=80)
    first = next(number for number, line in enumerate(lines) if line.startswith("features.0 Conv2d"))
    assert "3x32x32" in lines[first]
    assert "4x32x32" in lines[first + 1]
    assert lines[first + 2].startswith("features.1 BatchNorm2d")


def test_the_program_prints_every_number_and_draws_where_it_is_told_to(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cifar-search", "explain", "--runs", str(runs), *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    monkeypatch.delattr(synthetic, "test")  # it stays closed
    code, said, _ = call("--data", "synthetic", "--pictures", "--json")
    found = json.loads(said)
    assert code == 0
    assert sum(layer["parameters"] for layer in found["layers"]) == found["parameters"]
    assert sum(layer["flops"] for layer in found["layers"]) == found["flops"]
    assert found["layers"][0]["arithmetic"] == "(32 - 3 + 2*1)/1 + 1 = 32"
    assert (found["layers"][0]["receptive_field"], found["layers"][-1]["whole_image"]) == (3, True)
    assert [Path(file).name for file in found["pictures"]] == [
        "trial-1-filters.png",
        "trial-1-image-0.png",
        "trial-1-image-0-01-features.0.png",
        "trial-1-image-0-02-features.5.png",
    ]
    assert all(Path(file).parent == runs / "tiny" / "explain" for file in found["pictures"])
    code, said, errors = call("--trial", "9")
    assert (code, said, errors) == (4, "", "cifar-search: study 'tiny' has no trial 9; its trials are 0 to 3\n")
    code, said, errors = call("--study", "tiny", "--image", "0")
    assert (code, errors, said.splitlines()[0]) == (0, "", "best trial 1 of study tiny: a network of family cnn")


def test_the_pictures_are_the_same_again_and_another_image_has_its_own(runs: Path, tmp_path: Path) -> None:
    def files(folder: str, image: int) -> dict[str, bytes]:
        made = explain(question(runs, pictures=str(tmp_path / folder), image=image)).pictures
        assert made is not None
        return {file.name: file.read_bytes() for file in made.files}

    assert files("a", 5) == files("b", 5)
    assert {file.name for file in (tmp_path / "a").iterdir()} >= {"trial-1-filters.png", "trial-1-image-5.png"}
    with pytest.raises(DataError, match="--image is 0 to 199, the validation images, not 200"):
        files("a", 200)


def test_without_its_own_the_retrained_weights_of_the_same_candidate_are_drawn(runs: Path) -> None:
    checkpoints_of(runs / "tiny", 1).clear()
    candidate, report = from_values(VALUES), runs / "tiny" / "report"
    report.mkdir()
    payload = save(
        {name: each.contiguous() for name, each in build(candidate.architecture, seed=2).state_dict().items()}
    )
    about = {**candidate.as_dict(), "sha256": hashlib.sha256(payload).hexdigest(), "mean": [1.0] * 3, "std": [2.0] * 3}
    (report / "weights-1.safetensors").write_bytes(payload)
    (report / "weights-1.json").write_text(json.dumps(about))

    made = explain(question(runs, pictures="auto")).pictures

    assert made is not None
    assert "weights-1.safetensors" in made.weights
    for wrong in ({"sha256": "ab"}, {"architecture": {"family": "cnn"}}):
        (report / "weights-1.json").write_text(json.dumps({**about, **wrong}))
        with pytest.raises(StudyError, match="trial 1 has no weights here"):
            explain(question(runs, pictures="auto"))


def test_other_images_than_the_studys_are_not_drawn(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = synthetic.training().take(torch.arange(2000).flip(0))
    monkeypatch.setattr(synthetic, "training", lambda: other)
    with pytest.raises(DataError, match="was searched on other images"):
        explain(question(runs, pictures="auto"))


def test_an_image_is_drawn_upright(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16, :, 0] = pixels[16:, :, 2] = 255  # red above blue
    found = imread(image_png(pixels, tmp_path / "a.png", title="bird"))
    rows = np.flatnonzero((found[:, found.shape[1] // 2, 0] > 0.9) & (found[:, found.shape[1] // 2, 2] < 0.1))
    blue = np.flatnonzero((found[:, found.shape[1] // 2, 2] > 0.9) & (found[:, found.shape[1] // 2, 0] < 0.1))
    assert len(rows)
    assert rows.max() < blue.min()


def test_a_filter_is_drawn_around_grey(tmp_path: Path) -> None:
    weights = np.zeros((1, 3, 2, 2))
    weights[0, :, 0, 0], weights[0, :, 1, 1] = 2.0, -2.0  # white above left, black below right, grey elsewhere
    found = imread(filters_png(weights, tmp_path / "a.png", title="one"))[..., :3]
    grey = np.isclose(found, 0.5, atol=0.01).all(axis=2)
    black = (found < 0.01).all(axis=2)
    assert grey.sum() == pytest.approx(2 * black.sum(), rel=0.1)
    assert filters_png(np.zeros((70, 3, 2, 2)), tmp_path / "zero.png", title="none learned").exists()


def test_a_channel_that_is_the_same_everywhere_is_drawn_too(tmp_path: Path) -> None:
    maps = {"after a": np.zeros((20, 4, 4)), "then after b": np.full((20, 2, 2), 3.0)}
    assert maps_png(np.zeros((32, 32, 3), dtype=np.uint8), maps, tmp_path / "a.png", title="$cat").exists()


def test_a_convolution_is_shown_before_and_after_its_pooling() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = feature_maps(network, image)
    assert first.after is not None
    assert (first.name, first.pooling) == ("0", "2")
    assert torch.equal(first.before, network[0](image)[0].detach())
    assert torch.equal(first.after, network[:3](image)[0].detach())
    assert (second.name, second.after) == ("3", None)


def test_of_a_deep_network_the_first_and_the_last_convolution_of_each_size_are_shown() -> None:
    deep = [nn.Conv2d(3, 3, 3, padding=1) for _ in range(9)]
    network = nn.Sequential(*deep[:5], nn.MaxPool2d(4), *deep[5:], nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3, stride=8))
    image = torch.zeros(1, 3, 32, 32)
    assert [maps.name for maps in feature_maps(network, image)] == [str(n) for n in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)]
    deeper = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4)), *network)
    assert [maps.name for maps in feature_maps(deeper, image)] == ["0", "8", "13", "14"]


def test_a_network_without_convolutions_has_no_filters_to_draw() -> None:
    assert first_filters(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))) is None
    weights = first_filters(build(Cnn(stages=1, width=(4,)), seed=0))
    assert weights is not None
    assert weights.shape == (4, 3, 3, 3)


def test_a_candidate_of_one_batch_size_has_the_memory_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (
        explain_candidate(monkeypatch, Candidate(architecture=Cnn(), recipe=Recipe(batch_size=size)))
        for size in (10, 20)
    )
    assert large == pytest.approx(2 * small)


def explain_candidate(monkeypatch: pytest.MonkeyPatch, candidate: Candidate) -> float:
    asked = replace(candidate_of(Question(source="smoke")), candidate=candidate)
    monkeypatch.setattr("search.inspecting.explain.candidate_of", lambda _: asked)
    return explain(Question()).memory_mb
