"""The cnn family: what hand-made notebooks build, stages of convolution and pooling before linear layers."""

from __future__ import annotations

from torch import Tensor, nn

from search.candidate import Cnn
from search.networks.blocks import ACTIVATIONS, CHANNELS, PIXELS, output_side


class CnnNetwork(nn.Module):
    """Logits [N, classes] of normalised images [N, 3, 32, 32]."""

    def __init__(self, architecture: Cnn, *, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential()
        side, channels = PIXELS, CHANNELS
        for number, width in enumerate(architecture.width, start=1):
            for index in range(1, architecture.depth + 1):
                side = self._convolve(channels, width, side, f"convolution {index} of stage {number}", architecture)
                channels = width
            if architecture.pool > 1:
                side = output_side(
                    side, kernel=architecture.pool, stride=architecture.pool, layer=f"pooling of stage {number}"
                )
                self.features.append(nn.MaxPool2d(architecture.pool))
            self.features.append(nn.Dropout(architecture.dropout))
        self.head = nn.Sequential(nn.Flatten())
        neurons = channels * side * side
        for hidden in architecture.hidden:
            self.head.append(nn.Linear(neurons, hidden))
            self.head.append(ACTIVATIONS[architecture.activation]())
            self.head.append(nn.Dropout(architecture.hidden_dropout))
            neurons = hidden
        self.head.append(nn.Linear(neurons, classes))

    def _convolve(self, inputs: int, outputs: int, side: int, layer: str, architecture: Cnn) -> int:
        kernel = architecture.kernel
        if architecture.padding == "valid":
            side = output_side(side, kernel=kernel, layer=layer)  # "same" keeps the side for every kernel
        self.features.append(
            nn.Conv2d(inputs, outputs, kernel, padding=architecture.padding, bias=not architecture.batch_norm)
        )
        if architecture.batch_norm:
            self.features.append(nn.BatchNorm2d(outputs))
        self.features.append(ACTIVATIONS[architecture.activation]())
        return side

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits
