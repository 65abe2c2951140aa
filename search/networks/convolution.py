"""A convolution that trains faster on a CPU than torch's."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

FEWEST_CHANNELS = 96  # on both sides, from which on products are the faster way (studies/results/LOG.md, 10)
LARGEST_SIDE = 8  # of the picture, up to which they are


class Convolution(nn.Conv2d):
    """torch's, padded by half its kernel and without a bias, with the same numbers but for rounding.

    On a CPU without instructions for anything narrower than float32, oneDNN's kernel for the gradient of the weights
    does 50 to 90 GFLOP/s where a product of matrices does 115 to 145: there it is summed from such products.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if not self._by_products(input):
            return super().forward(input)
        found: Tensor = _ByProducts.apply(input, self.weight, self.padding)
        return found

    def _by_products(self, images: Tensor) -> bool:
        return (
            images.device.type == "cpu"
            and images.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and torch.is_grad_enabled()
            and min(self.in_channels, self.out_channels) >= FEWEST_CHANNELS
            and max(images.shape[2:]) <= LARGEST_SIDE
            and self.kernel_size > (1, 1)
            and self.stride == (1, 1)
        )


class _ByProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        return F.conv2d(images, weight, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (images, weight), padding = ctx.saved_tensors, ctx.padding
        of_images, of_weight, _ = ctx.needs_input_grad
        kernel = (weight.shape[2], weight.shape[3])
        return (
            conv2d_input(images.shape, weight, gradient, padding=padding) if of_images else None,  # type: ignore[no-untyped-call]
            weight_gradient(images, gradient, kernel=kernel, padding=padding) if of_weight else None,
            None,
        )


def weight_gradient(images: Tensor, gradient: Tensor, *, kernel: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """The gradient of a convolution's weights [outputs, inputs, *kernel], of stride 1.

    `images` [N, inputs, H, W] went in, `gradient` [N, outputs, H', W'] is that of what came out. A pixel of the kernel
    ties each pixel of the output to one of the input: its weights are the sum over all such pairs, a product each.
    """
    # [W, H, N, channels]: what one pixel of the kernel ties together is a slice, and no copy.
    before, after = (each.permute(3, 2, 0, 1).contiguous() for each in (images, gradient))
    found = images.new_empty(*kernel, gradient.shape[1], images.shape[1])
    for row, column in product(*map(range, kernel)):
        across = _tied(column - padding[1], before=before.shape[0], after=after.shape[0])
        down = _tied(row - padding[0], before=before.shape[1], after=after.shape[1])
        x, y = (each[across[i], down[i]].flatten(1, 2) for i, each in enumerate((before, after)))
        torch.sum(y.mT @ x, 0, out=found[row, column])
    return found.permute(2, 3, 0, 1)


def _tied(shift: int, *, before: int, after: int) -> tuple[slice, slice]:
    """The places before a convolution and after it, along one side, that are `shift` apart."""
    first = max(0, -shift)
    last = max(first, min(after, before - shift))
    return slice(first + shift, last + shift), slice(first, last)
