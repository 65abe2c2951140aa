"""The fast family: a 2x2 stem, pooled stages, one global maximum, one linear layer."""

from torch import Tensor, nn

from search.candidate import Fast
from search.description import ImageShape
from search.networks.blocks import ACTIVATIONS, Convolution, FrozenScaleNorm, PartialIdentity, Stem, Whitening

LOGIT_SCALE = 1 / 9  # keeps the first logits small, so that training starts at the loss of a guess (arXiv 2404.00498)


class Stage(nn.Module):
    """Convolution, pooling, norm, activation, then more convolutions at the halved size; residual adds a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, depth: int, kernel: int, architecture: Fast) -> None:
        super().__init__()
        activation = ACTIVATIONS[architecture.activation]
        convolution = PartialIdentity if architecture.partial_identity else Convolution
        pool = nn.MaxPool2d(2)  # before the norm: fewer pixels to normalise
        self.first = nn.Sequential(convolution(inputs, outputs, kernel), pool, FrozenScaleNorm(outputs), activation())
        self.rest = nn.Sequential()
        for _ in range(1, depth):
            self.rest.extend([convolution(outputs, outputs, kernel), FrozenScaleNorm(outputs), activation()])
        self.last = self.rest.pop(-1) if depth > 1 else nn.Identity()  # it follows the shortcut
        self.residual = architecture.residual and depth > 1

    def forward(self, images: Tensor) -> Tensor:
        start = self.first(images)
        end = self.rest(start)
        last: Tensor = self.last(start + end if self.residual else end)
        return last


class FastNetwork(nn.Module):
    """Logits [N, classes] of normalised images [N, C, S, S]."""

    def __init__(self, architecture: Fast, *, images: ImageShape) -> None:
        super().__init__()
        self.stem = (Whitening if architecture.whitening else Stem)(images.channels)
        self.activation = ACTIVATIONS[architecture.activation]()
        channels = self.stem.out_channels
        self.stages = nn.Sequential()
        for width, depth, kernel in zip(architecture.width, architecture.depth, architecture.kernel, strict=True):
            self.stages.append(Stage(channels, width, depth=depth, kernel=kernel, architecture=architecture))
            channels = width
        self.dropout = nn.Dropout(architecture.dropout)
        self.classifier = nn.Linear(channels, images.classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stages(self.activation(self.stem(images))).amax(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(features)) * LOGIT_SCALE
        return logits
