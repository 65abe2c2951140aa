"""A network of ours as a backbone: its trained weights, a new head, and images as it knew them."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from own_weights import MEAN, OLD, STD, trained
from pydantic import ValidationError
from safetensors.torch import load_file
from small_networks import SMALL
from torch import Tensor, nn

from search.candidate import Fast, Recipe, Transfer
from search.description import ImageShape
from search.networks.build import build, fetch_weights, weights_sha256
from search.networks.count import cost
from search.networks.weights import WeightsError
from search.training.parameter_groups import optimizer

NEW = ImageShape(24, 3, 5)
FAST = Fast(stages=2, width=(4, 6), depth=(1, 2), kernel=(3, 3))


def own(file: Path, **changes: Any) -> Transfer:
    return Transfer(backbone="own", weights=str(file), dropout=0.0, **changes)


def picture(shape: ImageShape) -> Tensor:
    return torch.randn(8, shape.channels, shape.side, shape.side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", [name for name in SMALL if name != "transfer"])
def test_every_family_keeps_its_tensors_and_gets_a_new_head(name: str, tmp_path: Path) -> None:
    images = ImageShape(32, 3, 7)
    file = trained(SMALL[name], tmp_path, images=images)
    network, other = (build(own(file), images=images, seed=seed) for seed in (0, 1))
    state = network.state_dict()
    kept = {name.removeprefix("backbone."): part for name, part in state.items() if name.startswith("backbone.")}
    before = load_file(file)
    assert before.keys() - kept.keys() <= {name for name, part in before.items() if part.shape[:1] == (7,)}
    assert all(torch.equal(before[name], part) for name, part in kept.items())
    different = {name for name, part in other.state_dict().items() if not torch.equal(part, state[name])}
    assert different == {"head.1.weight", "head.1.bias"}
    assert network(picture(images)).shape == (8, 7)
    blocks: Any = network.backbone_blocks  # every weight of the backbone is in one block
    found = [id(weights) for block in blocks() for weights in block.parameters()]
    assert sorted(found) == sorted(id(weights) for weights in network.get_submodule("backbone").parameters())


def test_without_its_weights_nothing_is_counted_otherwise(tmp_path: Path) -> None:
    file = trained(FAST, tmp_path)
    file.unlink()
    whole = cost(FAST, images=OLD).parameters
    assert cost(own(file), images=NEW).parameters == whole - 7 * 6 + 5 * 6 + 5


def test_the_whitening_of_before_is_not_fitted_again(tmp_path: Path) -> None:
    network: Any = build(own(trained(FAST, tmp_path)), images=NEW, seed=0)
    assert [name for name, module in network.named_modules() if callable(getattr(module, "fit", None))] == ["prepare"]


@pytest.mark.parametrize(("share", "free"), [(0.0, {"stages.0", "stages.1"}), (0.7, {"stages.1"}), (1.0, set())])
def test_what_is_frozen_stays_as_it_was(share: float, free: set[str], tmp_path: Path) -> None:
    network = build(own(trained(FAST, tmp_path), frozen=share), images=NEW, seed=0)
    before = {name: part.clone() for name, part in network.state_dict().items()}
    optimise = optimizer(network.train(), Recipe())
    nn.functional.cross_entropy(network(picture(NEW)), torch.arange(8) % 5).backward()  # type: ignore[no-untyped-call]
    optimise.step()
    changed = {name for name, part in network.state_dict().items() if not torch.equal(part, before[name])}
    assert {name.removeprefix("backbone.")[:8] for name in changed if name.startswith("backbone.")} == free
    assert "head.1.weight" in changed


GREY, COLOUR = ImageShape(24, 1, 7), ImageShape(24, 3, 7)


@pytest.mark.parametrize(("known", "given"), [(COLOUR, COLOUR), (COLOUR, GREY), (GREY, COLOUR), (GREY, GREY)])
def test_images_reach_it_as_it_knew_them(known: ImageShape, given: ImageShape, tmp_path: Path) -> None:
    network: Any = build(own(trained(FAST, tmp_path, images=known)), images=given._replace(classes=5), seed=0)
    mean, std = torch.tensor([90.0, 100.0, 110.0])[: given.channels], torch.tensor([40.0, 45.0, 55.0])[: given.channels]
    pixels = torch.randint(0, 256, (2, given.channels, 24, 24), generator=torch.Generator().manual_seed(0)).float()
    network.prepare.fit(pixels, mean=mean, std=std)
    seen = network.prepare((pixels - mean[:, None, None]) / std[:, None, None])
    if known.channels < given.channels:
        pixels = (torch.tensor([0.299, 0.587, 0.114])[:, None, None] * pixels).sum(1, keepdim=True)
    old_mean, old_std = (torch.tensor(numbers[: known.channels])[:, None, None] for numbers in (MEAN, STD))
    assert torch.allclose(seen, ((pixels - old_mean) / old_std).expand(-1, known.channels, -1, -1), atol=1e-4)
    assert network((pixels - 100) / 50).shape == (2, 5) if given == GREY else True


@pytest.mark.parametrize("side", [12, 60])
def test_images_of_another_side_are_resized_to_its_own(side: int, tmp_path: Path) -> None:
    images = NEW._replace(side=side)
    network: Any = build(own(trained(SMALL["mlp"], tmp_path)), images=images, seed=0)
    assert network.prepare(picture(images)).shape == (8, 3, 24, 24)
    assert network(picture(images)).shape == (8, 5)


def test_each_block_learns_slower_than_the_one_above(tmp_path: Path) -> None:
    network = build(own(trained(replace(FAST, whitening=False), tmp_path)), images=NEW, seed=0)
    recipe = Recipe(backbone_scale=0.5, depth_scale=0.1, bias_scale=1.0)
    names = {id(weights): name for name, weights in network.named_parameters()}
    rates = {
        names[id(weights)].removeprefix("backbone.")[:8]: group["lr"]
        for group in optimizer(network, recipe).param_groups
        for weights in group["params"]
    }
    head = rates["head.1.w"]
    expected = {"stages.1": 0.5, "stages.0": 0.05, "stem.wei": 0.005}
    assert {name: rates[name] / head for name in expected} == pytest.approx(expected)
    assert len(optimizer(network, replace(recipe, depth_scale=1.0)).param_groups) == 3, "as many as without a depth"


def test_weights_made_of_weights_are_a_start_too(tmp_path: Path) -> None:
    first = own(trained(FAST, tmp_path))
    (tmp_path / "second").mkdir()
    second = own(trained(first, tmp_path / "second"))
    assert build(second, images=NEW, seed=0)(picture(NEW)).shape == (8, 5)
    network: Any = build(second, images=NEW, seed=0)
    assert len(network.backbone_blocks()) == 3, "stem and two stages, however deep they lie"
    assert [name for name, module in network.named_modules() if callable(getattr(module, "fit", None))] == ["prepare"]


def test_its_digest_follows_the_content_and_not_the_path(tmp_path: Path) -> None:
    file = trained(FAST, tmp_path)
    before = weights_sha256(own(file))
    trained(FAST, tmp_path, sha256="0" * 64)
    assert weights_sha256(own(file)) != before
    assert weights_sha256(FAST) is weights_sha256(Transfer(weights="none")) is None
    state = tmp_path / "state.pth"
    state.write_bytes(b"any")
    assert weights_sha256(Transfer(weights=str(state))) == sha256(b"any").hexdigest()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "0" * 64}, "has not the SHA-256"),
        ({"architecture": {"family": "nothing"}}, "cannot be read"),
        ({"architecture": {"family": "fast", "width": [10**9]}}, "cannot be read"),
        ({"mean": [0.0]}, "do not agree"),
        ({"std": [0.0, 1.0, 1.0]}, "do not agree"),
        ({"input": 3}, "cannot be read"),
        ({"recipe": []}, "cannot be read"),
        ({"architecture": {"family": "fast", "stages": 3}}, "is not of the network"),
    ],
)
def test_a_description_that_is_wrong_is_refused_in_a_sentence(changes: Any, said: str, tmp_path: Path) -> None:
    file = trained(FAST, tmp_path, **changes)
    with pytest.raises(WeightsError, match=said):
        build(own(file), images=NEW, seed=0)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"[]", b"\xff", b'{"architecture": {}}'])
def test_a_hostile_description_is_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    file = trained(FAST, tmp_path)
    file.with_suffix(".json").write_bytes(content)
    for ask in (fetch_weights, lambda architecture: cost(architecture, images=NEW)):
        with pytest.raises(WeightsError, match="cannot be read as what"):
            ask(own(file))  # type: ignore[operator]


def test_it_needs_a_file_of_its_own() -> None:
    with pytest.raises(ValidationError, match=r"needs weights: FILE\.safetensors, not imagenet"):
        Transfer(backbone="own")
