"""Transfer: what a start may be, the space around it, and the comparison with training from scratch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from own_weights import trained
from photos import maker

from search.candidate import Fast, from_values
from search.deciding import transfer
from search.deciding.request import TransferRequest
from search.deciding.transfer import prepare
from search.description import ImageShape
from search.networks.build import fetch_weights
from search.networks.weights import BACKBONES
from search.planning.catalogue import load

Call = Callable[..., tuple[int, str, str]]

TINY = Fast(stages=2, width=(4, 6), depth=(1, 1), kernel=(3, 3))


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return maker(tmp_path)(cat=24, dog=24, eel=24)


@pytest.fixture
def arguments(tmp_path: Path, photos: Path) -> tuple[object, ...]:
    file = trained(TINY, tmp_path, images=ImageShape(24, 1, 4), seconds=90.0)
    places = ("--from", file, "--data", photos, "--runs", tmp_path / "runs", "--device", "cpu")
    return ("transfer", *places, "--slots", 1, "--trials", 1, "--epochs", 1, "--seeds", 2)


def test_it_searches_then_compares_in_pairs_and_an_equal_request_trains_nothing(
    arguments: tuple[object, ...], call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer.Pool, "measure", lambda _, job, **__: {"transfer": 300.0}.get(job.name, 100.0))
    code, output, errors = call(*arguments)
    assert (code, errors) == (0, "")
    assert "3 classes at 24 pixels" in output, "as large as the start knows them"
    assert "90 s in which the start was trained" in " ".join(output.split())
    folder = tmp_path / "runs" / "transfer-weights-1"
    found = json.loads((folder / "transfer.json").read_text())
    assert found["validation_images"] == 6
    assert [row["images"] for row in found["rows"]] == [3, 5, 13, 51]
    assert [row["epochs"] for row in found["rows"]] == [[5, 2], [4, 1], [2, 1], [1, 1]], "as long, or one epoch"
    for row in found["rows"]:
        differences = [one - other for one, other in row["accuracies"]]
        assert row["difference"] == pytest.approx(sum(differences) / 2)
        assert row["interval"][0] <= row["difference"] <= row["interval"][1]
    assert [*folder.rglob("comparison/*.ckpt")] == []

    monkeypatch.setattr(transfer, "train_kept", _nothing)
    code, output, _ = call(*arguments, "--json")
    assert code == 0
    assert json.loads(output[output.index("{\n") :])["rows"] == found["rows"]


def _nothing(_: object, jobs: list[object], **__: object) -> object:
    assert jobs == []
    return [], {}
    yield


def test_the_space_is_the_recipe_of_the_start_with_ranges_around_it(
    arguments: tuple[object, ...], tmp_path: Path
) -> None:
    request = TransferRequest(start=str(arguments[2]), folder=tmp_path / "runs")
    start, search = prepare(request)
    space = load(str(search.space))
    names = {parameter.name.split(".")[1] for parameter in space.varying}
    assert names == {"frozen", "dropout", "learning_rate", "backbone_scale", "depth_scale", "head_first"}
    assert start.scratch.architecture == TINY
    for baseline in space.baselines:
        assert from_values(baseline.values).recipe.batch_size == start.scratch.recipe.batch_size

    trained(TINY, tmp_path, images=ImageShape(24, 1, 4), note="another decision")
    fetch_weights(from_values(baseline.values).architecture)  # the copy


@pytest.mark.parametrize("backbone", ["mobilenet_v3_large", "resnet18"])
def test_a_state_of_torchvision_is_recognised_and_searched_alone(backbone: str, tmp_path: Path) -> None:
    from torchvision.models import get_model

    file = tmp_path / "state.pth"
    with torch.device("meta"):
        state = get_model(backbone, weights=None).state_dict()
    old = BACKBONES[backbone].classifier
    torch.save({name: torch.zeros(part.shape) for name, part in state.items() if not name.startswith(old)}, file)
    request = TransferRequest(start=str(file), folder=tmp_path / "runs")
    _, search = prepare(request)
    space = load(str(search.space))
    assert [baseline.name for baseline in space.baselines] == ["head-alone", "fine-tuned"]
    for baseline in space.baselines:
        assert baseline.values["architecture.backbone"] == backbone
        assert baseline.values["architecture.weights"] == str(file)


def test_what_is_no_start_is_said_in_a_sentence(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _offline)
    (tmp_path / "odd.pth").write_bytes(b"no weights")
    torch.save({"some": torch.zeros(3)}, tmp_path / "other.pth")
    alone = trained(TINY, tmp_path)
    alone.with_suffix(".json").unlink()
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(alone.read_bytes())
    broken.with_suffix(".json").write_text("{")
    for start, code, said in [
        ("resnet-18", 2, "not 'resnet-18'; nearest: resnet18"),
        ("../x", 2, "--from is a study in"),
        (tmp_path / "gone.safetensors", 3, "there is no file"),
        (tmp_path / "odd.pth", 3, "cannot be read as weights"),
        (tmp_path / "other.pth", 3, "is the state of none of vgg16, resnet18"),
        (alone, 3, "and has no JSON of ours"),
        (broken, 3, "cannot be read as what `cifar-search best --retrain` writes"),
        ("resnet18", 3, "put resnet18-f37072fd.pth there"),
    ]:
        found, output, errors = call("transfer", "--from", start, "--runs", tmp_path / "runs")
        assert (found, output) == (code, ""), errors
        assert said in errors
    code, _, errors = call("transfer")
    assert code == 2
    assert "--from" in errors


def _offline(*_: object, **__: object) -> None:
    raise OSError("Name or service not known")


def test_a_study_of_another_start_is_not_gone_on_with(
    arguments: tuple[object, ...], call: Call, tmp_path: Path
) -> None:
    prepare(TransferRequest(start=str(arguments[2]), folder=tmp_path / "runs"))
    trained(TINY, tmp_path, images=ImageShape(24, 1, 5), sha256="0" * 64)
    assert call(*arguments)[0] == 3
    trained(TINY, tmp_path, images=ImageShape(24, 1, 5))
    code, _, errors = call(*arguments)
    assert code == 4
    assert "name the new study with --study OTHER" in errors


def test_weights_are_for_a_published_recipe_with_a_backbone(call: Call, tmp_path: Path) -> None:
    code, _, errors = call("baseline", "mlp", "--weights", "w.pth", "--runs", tmp_path)
    assert (code, "mlp has none" in errors) == (2, True)
    code, _, errors = call("baseline", "vgg16", "--weights", tmp_path / "w.pth", "--runs", tmp_path)
    assert (code, "there is no file of weights" in errors) == (3, True)
