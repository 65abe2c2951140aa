"""The pieces that several families are built from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from search.errors import UserError
from search.networks.convolution import Convolution

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}

PIXELS = 32  # side of an input image
CHANNELS = 3

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
    neurons: int,
    *,
    hidden: Sequence[int],
    batch_norm: bool,
    activation: str,
    dropout: Sequence[float],
    classes: int,
) -> nn.Sequential:
    """Logits [N, classes] of whatever has `neurons` numbers for each image; `dropout` follows each hidden layer."""
    layers = nn.Sequential(nn.Flatten())
    for width, share in zip(hidden, dropout, strict=True):
        layers.append(nn.Linear(neurons, width))
        if batch_norm:
            layers.append(nn.BatchNorm1d(width))
        layers.append(ACTIVATIONS[activation]())
        layers.append(nn.Dropout(share))
        neurons = width
    return layers.append(nn.Linear(neurons, classes))


class PartialIdentity(Convolution):
    """A convolution whose first filters pass their input on unchanged at the start (arXiv 2404.00498, 3.2)."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        shared = min(self.in_channels, self.out_channels)
        nn.init.dirac_(self.weight.data[:shared])


class FrozenScaleNorm(nn.BatchNorm2d):
    """Batch norm that learns a bias and no scale; its statistics follow fast, as averaged weights need them to."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4)  # 0.6 of the old value is kept (arXiv 2404.00498)
        self.weight.requires_grad_(False)


class Stem(nn.Conv2d):
    """The first convolution of the fast family, 2x2, with as many filters as a patch has directions, twice."""

    size = 2
    filters = 2 * CHANNELS * size**2

    def __init__(self) -> None:
        super().__init__(CHANNELS, self.filters, self.size, bias=False)


class Whitening(Stem):
    """A frozen stem onto the principal directions of the training patches and their negations."""

    def __init__(self) -> None:
        super().__init__()
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def fit(self, images: Tensor, **_: Tensor) -> None:
        """Take the directions from normalised images, float [N, 3, H, W]; a few thousand are enough."""
        patches = images.float().unfold(2, self.size, 1).unfold(3, self.size, 1)  # [N, 3, H', W', 2, 2]
        rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, self.weight[0].numel()).double()
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        directions = vectors.T / (values + WHITENING_EPSILON).sqrt()[:, None]
        filters = directions.flip(0).reshape(-1, CHANNELS, self.size, self.size)
        self.weight.copy_(torch.cat([filters, -filters]))
