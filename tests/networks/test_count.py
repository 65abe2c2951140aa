"""Counts: parameters, FLOPs and kept bytes by hand, by publications, and by the network that is built."""

from __future__ import annotations

import pytest
import torch
from small_networks import BACKBONES, CIFAR10, PROXY, SMALL, each_network
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from search.candidate import Architecture, Cell, Cnn, Mlp, Recipe, Residual, Transfer
from search.description import ImageShape
from search.networks.build import build
from search.networks.count import Cost, cost


def test_the_airbench_proxy_is_counted_as_by_hand() -> None:
    def layer(pixels: int, inputs: int, outputs: int, kernel: int = 3) -> int:
        return 2 * pixels**2 * inputs * outputs * kernel**2

    stem, classifier = layer(31, 3, 24, kernel=2), 2 * 64 * 10
    stages = layer(31, 24, 32) + layer(15, 32, 32) + layer(15, 32, 64) + 2 * layer(7, 64, 64) + layer(3, 64, 64)
    assert (cost(PROXY, images=CIFAR10).parameters, cost(PROXY, images=CIFAR10).flops) == (
        146_720,
        stem + stages + classifier,
    )


def test_a_tiny_cnn_is_counted_as_by_hand() -> None:
    network = Cnn(stages=1, width=(2,), kernel=5, padding="valid", pool=4, batch_norm=False, hidden=(6,))
    parameters = (3 * 2 * 25 + 2) + (2 * 7 * 7 * 6 + 6) + (6 * 4 + 4)  # 32 -> 28 -> 7 pixels, four classes
    flops = 2 * (28 * 28 * 3 * 2 * 25 + 2 * 7 * 7 * 6 + 6 * 4)
    assert cost(network, images=ImageShape(32, 3, 4)).parameters == parameters
    assert cost(network, images=ImageShape(32, 3, 4)).flops == flops


def test_what_is_kept_for_the_backward_pass_is_counted_as_by_hand() -> None:
    network = Mlp(hidden_layers=1, hidden=(7,), dropout=0.0)
    pixels, hidden = 3 * 32 * 32, 7  # the input of each linear layer, the first's for all its weights
    assert cost(network, images=CIFAR10).activations == 4 * (pixels + hidden)
    dropped = Mlp(hidden_layers=1, hidden=(7,), dropout=0.5)
    assert cost(dropped, images=CIFAR10).activations == 4 * (pixels + hidden + 2 * hidden)


def test_a_training_keeps_weights_gradients_moments_averages_and_a_batchs_activations() -> None:
    counted = Cost(parameters=1000, flops=1, activations=7)
    assert counted.training_bytes(Recipe(batch_size=100)) == 4 * (2 + 1 + 1) * 1000 + 700
    assert counted.training_bytes(Recipe(optimizer="adam", averaging=False, batch_size=1)) == 4 * (2 + 2) * 1000 + 7


@each_network
def test_what_is_counted_is_the_network_that_is_built(architecture: Architecture, images: Tensor) -> None:
    real, counted = build(architecture, images=CIFAR10, seed=0), cost(architecture, images=CIFAR10)
    assert counted.parameters == sum(weights.numel() for weights in real.parameters())
    own = {part.untyped_storage().data_ptr() for part in (*real.parameters(), *real.buffers())}
    kept: dict[int, Tensor] = {}
    with saved_tensors_hooks(lambda part: kept.setdefault(part.untyped_storage().data_ptr(), part), lambda part: part):
        logits = real(images[:2].contiguous().clone())
    held = sum(part.untyped_storage().nbytes() for place, part in kept.items() if place not in own)
    assert counted.activations == held // 2
    assert logits.requires_grad, "the graph must live as long as its tensors are counted"


@pytest.mark.parametrize(
    "architecture",
    [*SMALL.values(), *(Transfer(backbone=name, hidden_layers=1) for name in BACKBONES)],
    ids=[*SMALL.keys(), *BACKBONES],
)
def test_the_work_is_that_of_torchs_own_counter(architecture: Architecture) -> None:
    network = build(architecture, images=CIFAR10, seed=0, device="meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        logits = network(torch.empty(1, 3, 32, 32, device="meta"))
    assert logits.shape == (1, 10)
    assert cost(architecture, images=CIFAR10).flops == counter.get_total_flops() > 0


def test_the_same_architecture_is_counted_once() -> None:
    network = Cnn(stages=1, width=(5,), hidden_layers=0)
    assert cost(network, images=CIFAR10) is cost(Cnn(stages=1, width=5, hidden_layers=0), images=CIFAR10)
    assert cost(network, images=ImageShape(32, 3, 3)).parameters < cost(network, images=CIFAR10).parameters


@each_network
def test_on_the_meta_device_the_names_and_shapes_are_the_same(architecture: Architecture) -> None:
    real, meta = (
        build(architecture, images=CIFAR10, seed=0).state_dict(),
        build(architecture, images=CIFAR10, seed=0, device="meta").state_dict(),
    )
    assert {name: part.shape for name, part in real.items()} == {name: part.shape for name, part in meta.items()}
    assert all(part.is_meta for part in meta.values())


def test_published_networks_have_their_published_size() -> None:
    known = {
        Residual(stem=64, width=(64, 128, 256), depth=2, head_dropout=0.3): 2_777_674,
        Residual(stem=16, width=(16, 32, 64), depth=2, shortcut=3): 195_738,
        Residual(depth=3): 272_474,  # ResNet-20, published as 0.27 M
        Residual(pre_activation=True): 175_066,  # WRN-16-1, published as 0.18 M
        Residual(width=(160, 320, 640), depth=4, pre_activation=True): 36_479_194,  # WRN-28-10, as 36.5 M
        Mlp(hidden=(1000, 512)): 3_590_642,
        Cell(): 1_531_546,  # all 3x3 convolutions in NAS-Bench-201, published as 1.53 M
    }
    assert {architecture: cost(architecture, images=CIFAR10).parameters for architecture in known} == known


def test_published_networks_do_their_published_work() -> None:
    assert cost(Cell(), images=CIFAR10).flops / 2e6 == pytest.approx(
        220.12, abs=0.01
    )  # NAS-Bench-201 counts multiplications
    wide = Residual(width=(160, 320, 640), depth=4, pre_activation=True)
    assert cost(wide, images=CIFAR10).flops / 2e9 == pytest.approx(5.24, abs=0.01)


def test_counting_a_huge_network_needs_no_memory() -> None:
    wide = Cnn(stages=1, width=(4096,), pool=1, hidden=(4096,))
    assert cost(wide, images=CIFAR10).parameters > 4096**2 * 1024  # 64 GiB as float32
