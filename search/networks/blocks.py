"""The pieces that several families are built from."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from search.errors import UserError

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}

FEWEST_CHANNELS = 96  # on both sides, from which on products are the faster way (studies/results/LOG.md, 10)
LARGEST_SIDE = 8  # of the picture, up to which they are

WHITENING_EPSILON = 5e-4  # keeps the faintest directions of the patches from being blown up (arXiv 2404.00498, 3.1)


class NetworkError(UserError):
    """An architecture that no network can have, with the arithmetic that shows it."""

    exit_code = 2


def output_side(side: int, *, kernel: int, padding: int = 0, stride: int = 1, layer: str) -> int:
    """Pixels along one side after a convolution or a pooling: (W - F + 2P)/S + 1. Raises NetworkError below 1."""
    if kernel > side + 2 * padding:
        raise NetworkError(
            f"{layer}: a kernel of {kernel} is larger than its input of {side} (padding {padding}): "
            f"(W - F + 2P)/S + 1 = ({side} - {kernel} + 2*{padding})/{stride} + 1 "
            f"= {(side - kernel + 2 * padding) / stride + 1:g}; use fewer stages, a smaller kernel or padding"
        )
    return (side - kernel + 2 * padding) // stride + 1


def linear_layers(
    neurons: int, *, hidden: Sequence[int], batch_norm: bool, activation: str, dropout: Sequence[float], classes: int
) -> nn.Sequential:
    """Logits [N, classes] of whatever has `neurons` numbers for each image; `dropout` follows each hidden layer."""
    layers = nn.Sequential(nn.Flatten())
    for width, share in zip(hidden, dropout, strict=True):
        norm = [nn.BatchNorm1d(width)] if batch_norm else []
        layers.extend([nn.Linear(neurons, width), *norm, ACTIVATIONS[activation](), nn.Dropout(share)])
        neurons = width
    return layers.append(nn.Linear(neurons, classes))


class Convolution(nn.Conv2d):
    """torch's, padded by half its kernel and without a bias, faster on a CPU: the same numbers but for rounding.

    On a CPU without instructions for anything narrower than float32, oneDNN's kernel for the gradient of the weights
    does 50 to 90 GFLOP/s where a product of matrices does 115 to 145: there it is summed from such products.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if not self._by_products(input):
            return super().forward(input)
        output: Tensor = _ByProducts.apply(input, self.weight, self.padding)
        return output

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


class PartialIdentity(Convolution):
    """A convolution whose first filters pass their input on unchanged at the start (arXiv 2404.00498, 3.2)."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.dirac_(self.weight.data[: min(self.in_channels, self.out_channels)])


class FrozenScaleNorm(nn.BatchNorm2d):
    """Batch norm that learns a bias and no scale; its statistics follow fast, as averaged weights need them to."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4)  # 0.6 of the old value is kept (arXiv 2404.00498)
        self.weight.requires_grad_(False)


class Stem(nn.Conv2d):
    """The first convolution of the fast family, 2x2, with as many filters as a patch has directions, twice."""

    size = 2

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 2 * channels * self.size**2, self.size, bias=False)


class Whitening(Stem):
    """A frozen stem onto the principal directions of the training patches and their negations."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def fit(self, images: Tensor, **_: Tensor) -> None:
        """Take the directions from normalised images, float [N, C, H, W]; a few thousand are enough."""
        patches = images.float().unfold(2, self.size, 1).unfold(3, self.size, 1)  # [N, C, H', W', 2, 2]
        rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, self.weight[0].numel()).double()
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        directions = vectors.T / (values + WHITENING_EPSILON).sqrt()[:, None]
        filters = directions.flip(0).reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([filters, -filters]))
