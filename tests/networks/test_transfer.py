"""Transfer: weights come from where they are said to be or not at all, and what is frozen stays as it was."""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from small_networks import CIFAR10
from torch import Tensor, nn
from torch.nn import functional as F

from search.candidate import Transfer
from search.networks.build import build
from search.networks.count import cost
from search.networks.weights import TIMEOUT, WeightsError, fetch

BACKBONE = "mobilenet_v3_large"  # the smallest
NAME = "mobilenet_v3_large-5c1a4163.pth"

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """As torchvision would have it, of random weights."""
    from torchvision.models import get_model

    torch.manual_seed(3)
    return dict(get_model(BACKBONE, weights=None).state_dict())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision keeps its weights, empty, on a machine without a network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _offline)
    return tmp_path / "hub" / "checkpoints"


def _offline(*_: Any, **__: Any) -> None:
    assert socket.getdefaulttimeout() == TIMEOUT, "a download without an end would hang a search"
    raise URLError("Name or service not known")


def transfer(**changes: Any) -> Transfer:
    return Transfer(**{"backbone": BACKBONE, "weights": "none", "input_size": 32, **changes})


def saved(state: State, file: Path) -> str:
    if file.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    else:
        torch.save(state, file)
    return str(file)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_gives_the_backbone_and_the_seed_the_head(name: str, state: State, tmp_path: Path) -> None:
    file = saved(state, tmp_path / name)
    first, second = (build(transfer(weights=file), images=CIFAR10, seed=seed).state_dict() for seed in (0, 1))
    assert torch.equal(first["backbone.0.0.weight"], state["features.0.0.weight"])
    assert torch.equal(first["backbone.16.1.running_var"], state["features.16.1.running_var"])
    different = {part for part in first if not torch.equal(first[part], second[part])}
    assert different == {"head.1.weight", "head.1.bias"}


def test_half_precision_is_trained_in_single_and_the_old_classifier_is_not_needed(state: State, tmp_path: Path) -> None:
    headless = {name: part for name, part in state.items() if not name.startswith("classifier.")}
    halves = {name: part.half() if part.is_floating_point() else part for name, part in headless.items()}
    network = build(transfer(weights=saved(halves, tmp_path / "half.pth")), images=CIFAR10, seed=0)
    assert {weights.dtype for weights in network.parameters()} == {torch.float32}


def test_weights_that_lack_or_exceed_the_backbone_or_have_another_shape_are_refused_by_name(
    state: State, tmp_path: Path
) -> None:
    odd = {name: tensor for name, tensor in state.items() if not name.startswith("features.0.")}
    file = saved(odd | {"surplus.weight": torch.zeros(2)}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError) as caught:
        build(transfer(weights=file), images=CIFAR10, seed=0)
    assert f"{file} is not of {BACKBONE}: features.0.0.weight, features.0.1." in str(caught.value)
    assert "and 2 more missing; surplus.weight unexpected" in str(caught.value)

    file = saved(state | {"features.0.0.weight": torch.zeros(1)}, tmp_path / "shape.pth")
    with pytest.raises(WeightsError, match=r"is not of mobilenet_v3_large: .*size mismatch for features\.0\.0\.weight"):
        build(transfer(weights=file), images=CIFAR10, seed=0)


class _Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize(
    "content", [pickle.dumps(_Harm(), protocol=2), b"", b"no weights at all"], ids=["code", "empty", "text"]
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_what_is_no_file_of_weights_is_refused_and_never_run(
    content: bytes, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        build(transfer(weights=str(tmp_path / name)), images=CIFAR10, seed=0)
    assert not (tmp_path / "harmed").exists()


def test_a_missing_file_or_one_of_something_else_is_said_with_the_ways_out(tmp_path: Path) -> None:
    file = saved({"epoch": 3}, tmp_path / "checkpoint.pt")  # type: ignore[dict-item]
    with pytest.raises(WeightsError, match="must hold one tensor by each name"):
        build(transfer(weights=file), images=CIFAR10, seed=0)
    for ask in (
        lambda: fetch(BACKBONE, "gone.pth"),
        lambda: build(transfer(weights="gone.pth"), images=CIFAR10, seed=0),
    ):
        with pytest.raises(WeightsError, match=r"no file of weights gone\.pth.*weights: imagenet or weights: none"):
            ask()


def test_imagenet_weights_that_cannot_be_had_say_where_to_put_them(cache: Path) -> None:
    for ask in (
        lambda: fetch(BACKBONE, "imagenet"),
        lambda: build(transfer(weights="imagenet"), images=CIFAR10, seed=0),
    ):
        with pytest.raises(WeightsError) as caught:
            ask()
        text = str(caught.value)
        assert f"are not at {cache / NAME}" in text
        assert "Name or service not known" in text
        assert f"put {NAME} there (from https://download.pytorch.org/models/{NAME})" in text
        assert "weights: none" in text
    assert socket.getdefaulttimeout() is None


def test_imagenet_weights_are_downloaded_once_and_checked(
    cache: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def download(url: str, place: str, *, hash_prefix: str, progress: bool) -> None:
        asked.append((url, hash_prefix))
        torch.save(state, place)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    fetch(BACKBONE, "imagenet")
    fetch(BACKBONE, "imagenet")
    assert asked == [(f"https://download.pytorch.org/models/{NAME}", "5c1a4163")]
    network = build(transfer(weights="imagenet"), images=CIFAR10, seed=0)
    assert len(asked) == 1
    assert torch.equal(network.get_parameter("backbone.0.0.weight"), state["features.0.0.weight"])


@pytest.mark.parametrize("weights", ["imagenet", "gone.pth"])
def test_counting_neither_reads_nor_downloads(weights: str, cache: Path) -> None:
    counted = cost(transfer(weights=weights, hidden_layers=1, hidden=(11,)), images=CIFAR10)
    assert counted.parameters == 2_971_952 + 960 * 11 + 11 + 11 * 10 + 10  # torchvision's without its classifier
    fetch(BACKBONE, "none")
    assert not cache.exists()


def test_pictures_reach_the_backbone_as_it_knows_them(state: State, tmp_path: Path) -> None:
    network = build(transfer(weights=saved(state, tmp_path / "weights.pth"), input_size=48), images=CIFAR10, seed=0)
    mean, std = torch.tensor([125.0, 120.0, 110.0]), torch.tensor([60.0, 61.0, 62.0])
    pixels = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    images = (pixels - mean[:, None, None]) / std[:, None, None]
    prepare: Any = network.get_submodule("prepare")
    prepare.fit(images, mean=mean, std=std)
    known_mean, known_std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    known = (pixels / 255 - known_mean[:, None, None]) / known_std[:, None, None]
    expected = F.interpolate(known, size=(48, 48), mode="bilinear", align_corners=False)
    assert torch.allclose(prepare(images), expected, atol=1e-5)
    assert {"prepare.scale", "prepare.shift"} <= network.state_dict().keys(), "kept weights know it too"


def test_random_weights_keep_the_normalisation_of_the_data() -> None:
    prepare: Any = build(transfer(), images=CIFAR10, seed=0).get_submodule("prepare")
    images = torch.randn(2, 3, 32, 32)
    prepare.fit(images, mean=torch.full((3,), 99.0), std=torch.full((3,), 9.0))
    assert torch.equal(prepare(images), images)


@pytest.mark.parametrize(
    ("backbone", "blocks", "share", "frozen"),
    [("resnet18", 5, 0.5, 2), ("vgg16", 5, 0.6, 3), ("convnext_tiny", 8, 1.0, 8), (BACKBONE, 17, 0.0, 0)],
)
def test_a_share_of_the_blocks_is_frozen_from_the_input(backbone: str, blocks: int, share: float, frozen: int) -> None:
    network = build(Transfer(backbone=backbone, frozen=share), images=CIFAR10, seed=0, device="meta")  # type: ignore[arg-type]
    trained = [
        any(weights.requires_grad for weights in block.parameters())
        for block in network.get_submodule("backbone").children()
    ]
    assert trained == [False] * frozen + [True] * (blocks - frozen)
    assert all(weights.requires_grad for weights in network.get_submodule("head").parameters())


def test_frozen_blocks_change_neither_weights_nor_statistics_in_training() -> None:
    network: Any = build(transfer(frozen=0.5), images=CIFAR10, seed=0)
    before = {name: part.clone() for name, part in network.state_dict().items()}
    network.train()
    network(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))).sum().backward()
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    changed = {name.split(".")[1] for name, part in network.state_dict().items() if not torch.equal(part, before[name])}
    assert changed == {str(block) for block in range(8, 17)} | {"1"}  # the last nine of 17 blocks, and the head
    assert all(
        torch.equal(part, before[f"backbone.1.{name}"]) for name, part in network.backbone[1].state_dict().items()
    )


@pytest.mark.parametrize("backbone", ["convnext_tiny", "resnet18"])
def test_the_backbone_is_all_but_the_head(backbone: str) -> None:
    network: Any = build(Transfer(backbone=backbone, hidden_layers=1), images=CIFAR10, seed=0, device="meta")  # type: ignore[arg-type]
    found = {id(weights) for block in network.backbone_blocks() for weights in block.parameters()}
    named = {name.split(".")[0] for name, weights in network.named_parameters() if id(weights) not in found}
    assert named == {"head"}
    assert len(found) == len(list(network.parameters())) - 4


def test_dropout_comes_before_each_linear_layer_of_the_head() -> None:
    network = build(transfer(hidden_layers=2, hidden=(6, 5), dropout=0.4), images=CIFAR10, seed=0, device="meta")
    layers = list(network.get_submodule("head"))
    order = [nn.Dropout, nn.Linear, nn.ReLU] * 2 + [nn.Dropout, nn.Linear]
    assert [type(layer) for layer in layers] == order
    assert {layer.p for layer in layers if isinstance(layer, nn.Dropout)} == {0.4}
