"""Layers: the arithmetic of each, what it sees of the image, and sums that are those of the whole network."""

from __future__ import annotations

import pytest
import torch
from small_networks import CIFAR10
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Permute

from search.candidate import FAMILIES, Architecture, Cell, Cnn, Fast, Mlp, Residual, Transfer
from search.inspecting.trace import Layer, layers_of, trace
from search.networks.blocks import NetworkError
from search.networks.count import cost

SMALL: dict[str, Architecture] = {
    "fast": Fast(stages=2, width=(4, 6), depth=(1, 3), kernel=(5, 3), residual=True, dropout=0.2),
    "cnn": Cnn(stages=2, width=(4, 6), depth=2, hidden=(9,), hidden_batch_norm=True),
    "residual": Residual(stages=2, width=(4, 6), depth=(1, 1), squeeze_excite=True, pre_activation=True),
    "cell": Cell(
        edge=("avg_pool_3x3", "skip_connect", "nor_conv_1x1", "none", "nor_conv_3x3", "nor_conv_3x3"), width=4, cells=1
    ),
    "mlp": Mlp(hidden=(8, 6), batch_norm=True),
    "transfer": Transfer(backbone="resnet18", weights="none", hidden_layers=1, hidden=(5,)),
    "vgg16": Transfer(backbone="vgg16", weights="none"),
    "convnext_tiny": Transfer(backbone="convnext_tiny", weights="none"),
}
assert FAMILIES.keys() <= SMALL.keys()


def layers(network: nn.Module, *, side: int, batch_size: int = 1) -> tuple[Layer, ...]:
    image = torch.empty(1, 3, side, side, device="meta")
    return layers_of(network.to("meta").eval(), image, batch_size=batch_size)


@pytest.mark.parametrize("architecture", SMALL.values(), ids=SMALL)
def test_the_layers_of_every_family_add_up_to_what_a_study_counts(architecture: Architecture) -> None:
    found, counted = trace(architecture, images=CIFAR10, batch_size=8), cost(architecture, images=CIFAR10)
    assert sum(layer.parameters for layer in found) == counted.parameters
    assert sum(layer.flops for layer in found) == counted.flops
    assert found[0].input == (3, 32, 32)
    assert (found[-1].output, found[-1].receptive_field) == ((10,), None)


@pytest.mark.parametrize(
    ("layer", "side", "output", "arithmetic"),
    [
        (nn.Conv2d(3, 1, 3), 7, 5, "(7 - 3 + 2*0)/1 + 1 = 5"),
        (nn.Conv2d(3, 1, 3, stride=2), 7, 3, "(7 - 3 + 2*0)/2 + 1 = 3"),
        (nn.Conv2d(3, 1, 3, padding=1), 32, 32, "(32 - 3 + 2*1)/1 + 1 = 32"),
        (nn.Conv2d(3, 1, 3, dilation=2), 7, 3, "(7 - 5 + 2*0)/1 + 1 = 3"),
        (nn.MaxPool2d(2), 31, 15, "(31 - 2 + 2*0)/2 + 1 = 15.5, so 15"),
        (nn.MaxPool2d(3), 32, 10, "(32 - 3 + 2*0)/3 + 1 = 10.67, so 10"),
        (nn.MaxPool2d(2, ceil_mode=True), 31, 16, "(31 - 2 + 2*0)/2 + 1 = 15.5, so 16"),
        (nn.AvgPool2d(3, stride=1, padding=1), 8, 8, "(8 - 3 + 2*1)/1 + 1 = 8"),
    ],
)
def test_a_window_fills_in_its_arithmetic(layer: nn.Module, side: int, output: int, arithmetic: str) -> None:
    (found,) = layers(nn.Sequential(layer), side=side)
    assert (found.output[-1], found.arithmetic) == (output, arithmetic)


class Enlarged(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(images, scale_factor=2, mode="bilinear")


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ([nn.Conv2d(3, 1, 3), nn.Conv2d(1, 1, 3)], [3, 5]),  # two of 3x3 see as much as one of 5x5
        ([nn.Conv2d(3, 1, 5)], [5]),
        ([nn.Conv2d(3, 1, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3)], [3, 3, 4, 8]),
        ([nn.Conv2d(3, 1, 3, stride=2), nn.Conv2d(1, 1, 3, dilation=2)], [3, 11]),
        # A mean, a maximum or a flattening sees all of the picture, but not from a position that saw little of it.
        ([nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 1, 1)], [3, None, None]),
        ([nn.AdaptiveMaxPool2d(1)], [None]),
        ([nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 30 * 30, 4)], [3, None, None]),
        ([nn.Conv2d(3, 2, 1, stride=32), nn.Flatten(), nn.Linear(2, 4)], [1, 1, 1]),
        ([nn.Conv2d(3, 2, 3, padding=1), nn.AdaptiveAvgPool2d(4)], [3, 10]),  # the mean of a part of the positions
        ([Enlarged(), nn.Conv2d(3, 1, 7)], [2, 5]),  # half as far
        # A linear layer over channels sees one pixel.
        ([Permute([0, 2, 3, 1]), nn.Linear(3, 5), Permute([0, 3, 1, 2]), nn.Conv2d(5, 1, 3)], [1, 1, 1, 3]),
    ],
)
def test_what_layers_see_is_as_counted_by_hand(modules: list[nn.Module], expected: list[int | None]) -> None:
    assert [layer.receptive_field for layer in layers(nn.Sequential(*modules), side=32)] == expected


class Residue(nn.Module):
    """A branch of two convolutions, a shorter one, and weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.long = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))
        self.short = nn.Conv2d(3, 4, 1)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.short(images) + self.scale * self.long(images), images], dim=1)


def test_a_sum_sees_what_its_larger_branch_sees_and_its_owner_is_a_layer_with_its_weights() -> None:
    found = {layer.name: layer for layer in layers(nn.Sequential(Residue(), nn.Conv2d(7, 1, 1)), side=8)}
    assert [found[name].receptive_field for name in ("0.short", "0", "1")] == [1, 5, 5]
    assert (found["0"].kind, found["0"].parameters, found["0"].output) == ("Residue", 4, (7, 8, 8))


def test_a_layer_that_is_used_twice_has_its_weights_once() -> None:
    shared = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    first, second = layers(nn.Sequential(shared, shared), side=8)
    assert (first.parameters, second.parameters) == (81, 0)
    assert first.flops == second.flops == 2 * 8 * 8 * 81


def test_memory_is_that_of_new_numbers_and_grows_with_the_batch() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.ReLU())
    found = layers(network, side=10, batch_size=50)
    assert [layer.memory_mb for layer in found] == [50 * 4 * 100 * 4 / 1e6, 0, 0, 50 * 4 * 100 * 4 / 1e6]


def test_a_network_that_cannot_be_is_refused() -> None:
    with pytest.raises(NetworkError, match="a kernel of 7 is larger"):
        trace(Cnn(stages=3, width=(4, 4, 4), kernel=7, padding="valid"), images=CIFAR10, batch_size=1)
