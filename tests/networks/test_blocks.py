"""Blocks: the convolution that finds the gradient of its weights by products has torch's numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from search.networks.blocks import FEWEST_CHANNELS, LARGEST_SIDE, Convolution, weight_gradient


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(
    images=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    outputs=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_the_gradient_of_the_weights_is_torchs(
    images: tuple[int, int, int, int], outputs: int, kernel: tuple[int, int], padding: tuple[int, int]
) -> None:
    assume(all(side + 2 * pad >= size for side, pad, size in zip(images[2:], padding, kernel, strict=True)))
    pixels = drawn(*images).double()
    weight = drawn(outputs, images[1], *kernel, seed=1).double().requires_grad_()
    answer = F.conv2d(pixels, weight, padding=padding)
    gradient = drawn(*answer.shape, seed=2).double()
    answer.backward(gradient)
    found = weight_gradient(pixels, gradient, kernel=kernel, padding=padding)
    assert weight.grad is not None
    assert torch.allclose(found, weight.grad)


def trained(layer: nn.Conv2d, images: Tensor) -> list[Tensor | None]:
    """The answer, the gradient of the images and that of the weights."""
    images = images.clone().requires_grad_()
    answer: Tensor = layer(images)
    answer.sin().sum().backward()
    return [answer.detach(), images.grad, layer.weight.grad]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("channels", "side"),
    [(FEWEST_CHANNELS, LARGEST_SIDE), (FEWEST_CHANNELS, LARGEST_SIDE + 1), (FEWEST_CHANNELS - 1, LARGEST_SIDE)],
)
def test_a_convolution_is_torchs(channels: int, side: int, kernel: int, stride: int) -> None:
    ours = Convolution(channels, FEWEST_CHANNELS, kernel, stride=stride).to(memory_format=torch.channels_last)
    theirs = nn.Conv2d(channels, FEWEST_CHANNELS, kernel, stride=stride, padding=kernel // 2, bias=False)
    theirs.load_state_dict(ours.state_dict())
    images = drawn(4, channels, side, side).contiguous(memory_format=torch.channels_last)
    for found, expected in zip(trained(ours, images), trained(theirs, images), strict=True):
        assert found is not None
        assert expected is not None
        assert torch.allclose(found, expected, atol=1e-3, rtol=1e-4)
        assert found.is_contiguous(memory_format=torch.channels_last)


def test_held_weights_have_no_gradient_and_pass_it_on() -> None:
    layer = Convolution(FEWEST_CHANNELS, FEWEST_CHANNELS, 3)
    layer.weight.requires_grad_(False)
    _, images, weights = trained(layer, drawn(2, FEWEST_CHANNELS, 4, 4))
    assert weights is None
    assert images is not None
