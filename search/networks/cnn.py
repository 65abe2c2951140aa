"""The cnn family: what hand-made notebooks build, stages of convolution and pooling before linear layers."""

from torch import nn

from search.candidate import Cnn
from search.description import ImageShape
from search.networks.blocks import ACTIVATIONS, linear_layers, output_side


class CnnNetwork(nn.Sequential):
    """Logits [N, classes] of normalised images [N, C, S, S]."""

    def __init__(self, architecture: Cnn, *, images: ImageShape) -> None:
        super().__init__()
        self.features = nn.Sequential()
        side, channels, each = images.side, images.channels, architecture
        stages = zip(each.width, each.depth, each.kernel, each.pool, each.dropout, strict=True)
        for number, (width, depth, kernel, pool, dropout) in enumerate(stages, start=1):
            # a kernel that is padded to the same size is odd
            padding = kernel // 2 if each.padding == "same" else 0 if each.padding == "valid" else each.padding
            for index in range(1, depth + 1):
                layer = f"convolution {index} of stage {number}"
                side = output_side(side, kernel=kernel, padding=padding, layer=layer)
                self.features.append(nn.Conv2d(channels, width, kernel, padding=padding))  # biases as notebooks have
                if architecture.batch_norm:
                    self.features.append(nn.BatchNorm2d(width))
                self.features.append(ACTIVATIONS[architecture.activation]())
                channels = width
            if pool > 1:
                side = output_side(side, kernel=pool, stride=pool, layer=f"pooling of stage {number}")
                self.features.append(nn.MaxPool2d(pool))
            self.features.append(nn.Dropout(dropout))
        self.head = linear_layers(
            channels * side * side,
            hidden=architecture.hidden,
            batch_norm=architecture.hidden_batch_norm,
            activation=architecture.activation,
            dropout=architecture.hidden_dropout,
            classes=images.classes,
        )
