"""The residual family: ResNet and Wide ResNet for small pictures."""

import torch
from torch import Tensor, nn

from search.candidate import Residual
from search.description import ImageShape
from search.networks.blocks import ACTIVATIONS, Convolution

SQUEEZE = 16  # times fewer numbers than channels between squeeze and excitation (arXiv 1709.01507, section 6.1)
LEAST_SQUEEZED = 4  # a sixteenth of 16 channels would be one number for all images


class StochasticDepth(nn.Module):
    """Drop the whole branch of an image with probability `share`, in training only (arXiv 1603.09382)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return branch
        kept = torch.empty(len(branch), 1, 1, 1, dtype=branch.dtype, device=branch.device).bernoulli_(1 - self.share)
        return branch * kept / (1 - self.share)  # so that evaluation needs no factor


class SqueezeExcite(nn.Module):
    """Weigh each channel of an image by what its mean over the pixels says (arXiv 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(LEAST_SQUEEZED, channels // SQUEEZE)
        first, second = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)
        self.weigh = nn.Sequential(first, nn.ReLU(), second, nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        weights: Tensor = self.weigh(features.mean(dim=(2, 3)))
        return features * weights[:, :, None, None]


class Block(nn.Module):
    """Two 3x3 convolutions whose result is added to their input; norm and activation after or before each."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, dropped: float, architecture: Residual) -> None:
        super().__init__()
        activation = ACTIVATIONS[architecture.activation]
        first, second = _convolution(inputs, outputs, stride=stride), _convolution(outputs, outputs)
        branch = [first, nn.BatchNorm2d(outputs), activation(), nn.Dropout(architecture.dropout), second]
        changes = stride > 1 or inputs != outputs
        self.before, self.shortcut, self.after = nn.Sequential(), nn.Sequential(), nn.Sequential()
        self.shared = architecture.pre_activation and changes  # the shortcut too starts from the activated input
        if changes and architecture.shortcut == 1:
            # every second pixel, then a 1x1 convolution: one with a stride corrupts memory in its backward pass on a
            # CPU where channels are few and last (torch 2.15)
            self.shortcut.extend([nn.AvgPool2d(1, stride), _convolution(inputs, outputs, kernel=1)])
        elif changes:
            self.shortcut.append(_convolution(inputs, outputs, kernel=3, stride=stride))
        if architecture.pre_activation:
            self.before.extend([nn.BatchNorm2d(inputs), activation()])
        else:
            if changes:
                self.shortcut.append(nn.BatchNorm2d(outputs))
            branch.append(nn.BatchNorm2d(outputs))
            self.after.append(activation())
        if architecture.squeeze_excite:
            branch.append(SqueezeExcite(outputs))
        self.branch = nn.Sequential(*branch, StochasticDepth(dropped))

    def forward(self, images: Tensor) -> Tensor:
        activated = self.before(images)
        shortcut = self.shortcut(activated if self.shared else images)
        answer: Tensor = self.after(shortcut + self.branch(activated))
        return answer


class ResidualNetwork(nn.Module):
    """Logits [N, classes] of normalised images [N, C, S, S]."""

    def __init__(self, architecture: Residual, *, images: ImageShape) -> None:
        super().__init__()
        activation, channels = ACTIVATIONS[architecture.activation], architecture.stem
        self.stem = nn.Sequential(_convolution(images.channels, channels))
        self.blocks, self.last = nn.Sequential(), nn.Sequential()
        if not architecture.pre_activation:
            self.stem.extend([nn.BatchNorm2d(channels), activation()])
        for number, (width, depth) in enumerate(zip(architecture.width, architecture.depth, strict=True), start=1):
            for index in range(depth):
                stride = 2 if number > 1 and index == 0 else 1
                dropped = architecture.stochastic_depth * (len(self.blocks) + 1) / sum(architecture.depth)
                self.blocks.append(Block(channels, width, stride=stride, dropped=dropped, architecture=architecture))
                channels = width
        if architecture.pre_activation:
            self.last.extend([nn.BatchNorm2d(channels), activation()])
        self.dropout = nn.Dropout(architecture.head_dropout)
        self.classifier = nn.Linear(channels, images.classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.last(self.blocks(self.stem(images))).mean(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(features))
        return logits


def _convolution(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> Convolution:
    layer = Convolution(inputs, outputs, kernel, stride=stride)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")  # arXiv 1502.01852, as the papers have
    return layer
