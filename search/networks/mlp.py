"""The mlp family: linear layers over the pixels, the floor that convolution must beat."""

from torch import nn

from search.candidate import Mlp
from search.networks.blocks import CHANNELS, PIXELS, linear_layers


class MlpNetwork(nn.Sequential):
    """Logits [N, classes] of normalised images [N, 3, 32, 32]."""

    def __init__(self, architecture: Mlp, *, classes: int) -> None:
        super().__init__()
        self.layers = linear_layers(
            CHANNELS * PIXELS**2,
            hidden=architecture.hidden,
            batch_norm=architecture.batch_norm,
            activation=architecture.activation,
            dropout=(architecture.dropout,) * architecture.hidden_layers,
            classes=classes,
        )
