"""The mlp family: linear layers over the pixels, the floor that convolution must beat."""

from torch import nn

from search.candidate import Mlp
from search.description import ImageShape
from search.networks.blocks import linear_layers


class MlpNetwork(nn.Sequential):
    """Logits [N, classes] of normalised images [N, C, S, S]."""

    def __init__(self, architecture: Mlp, *, images: ImageShape) -> None:
        super().__init__()
        self.layers = linear_layers(
            images.channels * images.side**2,
            hidden=architecture.hidden,
            batch_norm=architecture.batch_norm,
            activation=architecture.activation,
            dropout=(architecture.dropout,) * architecture.hidden_layers,
            classes=images.classes,
        )
