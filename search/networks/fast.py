"""The fast family: a 2x2 stem, pooled stages, one global maximum, one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from search.candidate import Fast
from search.networks.blocks import (
    ACTIVATIONS,
    PIXELS,
    FrozenScaleNorm,
    PartialIdentity,
    Stem,
    Whitening,
    output_side,
)
from search.networks.convolution import Convolution

LOGIT_SCALE = 1 / 9  # keeps the first logits small, so that training starts at the loss of a guess (arXiv 2404.00498)


class Stage(nn.Module):
    """Convolution, pooling, norm, activation, then more convolutions at the halved size; residual adds a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, depth: int, kernel: int, architecture: Fast) -> None:
        super().__init__()
        activation = ACTIVATIONS[architecture.activation]
        self.first = nn.Sequential(
            _convolution(inputs, outputs, kernel=kernel, architecture=architecture),
            nn.MaxPool2d(2),  # before the norm: fewer pixels to normalise
            FrozenScaleNorm(outputs),
            activation(),
        )
        self.rest = nn.Sequential()
        for index in range(1, depth):
            self.rest.append(_convolution(outputs, outputs, kernel=kernel, architecture=architecture))
            self.rest.append(FrozenScaleNorm(outputs))
            if index < depth - 1:
                self.rest.append(activation())
        self.last = activation() if depth > 1 else nn.Identity()
        self.residual = architecture.residual and depth > 1

    def forward(self, images: Tensor) -> Tensor:
        start = self.first(images)
        end = self.rest(start)
        last: Tensor = self.last(start + end if self.residual else end)
        return last


class FastNetwork(nn.Module):
    """Logits [N, classes] of normalised images [N, 3, 32, 32]."""

    def __init__(self, architecture: Fast, *, classes: int) -> None:
        super().__init__()
        sides(architecture, PIXELS)
        self.stem = Whitening() if architecture.whitening else Stem()
        self.activation = ACTIVATIONS[architecture.activation]()
        channels = Stem.filters
        self.stages = nn.Sequential()
        for width, depth, kernel in zip(architecture.width, architecture.depth, architecture.kernel, strict=True):
            self.stages.append(Stage(channels, width, depth=depth, kernel=kernel, architecture=architecture))
            channels = width
        self.dropout = nn.Dropout(architecture.dropout)
        self.classifier = nn.Linear(channels, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stages(self.activation(self.stem(images))).amax(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(features)) * LOGIT_SCALE
        return logits


def sides(architecture: Fast, side: int) -> list[int]:
    """Pixels along a side after the stem and after each stage, of images of `side`. Raises NetworkError below 1."""
    found = [output_side(side, kernel=Stem.size, layer="stem")]
    for number in range(1, architecture.stages + 1):
        found.append(output_side(found[-1], kernel=2, stride=2, layer=f"pooling of stage {number}"))
    return found


def _convolution(inputs: int, outputs: int, *, kernel: int, architecture: Fast) -> Convolution:
    kind = PartialIdentity if architecture.partial_identity else Convolution
    return kind(inputs, outputs, kernel)
