"""The transfer family: a backbone with weights that were trained elsewhere, and a new head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.candidate import Transfer
from search.description import ImageShape
from search.networks.origin import load_trunk, origin
from search.networks.weights import BACKBONES, NONE, load

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and spread of each channel, in pixel values 0..1
NetworkOf = Callable[..., nn.Module]
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue in grey, as Pillow has it (ITU-R 601)


class Preprocessing(nn.Module):
    """From images normalised as the data set is, to images normalised and enlarged as the backbone knows them."""

    scale: Tensor
    shift: Tensor

    def __init__(self, known: Statistics | None, *, size: int, channels: int = 3, given: int = 3) -> None:
        """`known`: of the images that the backbone was trained on; None keeps the data set's normalisation.

        `channels` are those that the backbone takes, `given` those of the data set: colours become grey, or grey three.
        """
        super().__init__()
        self.known, self.size, self.greying = known, size, channels < given
        self.register_buffer("scale", torch.ones(max(channels, given), 1, 1))  # kept with the weights
        self.register_buffer("shift", torch.zeros(max(channels, given), 1, 1))

    @torch.no_grad()
    def fit(self, _: Tensor, *, mean: Tensor, std: Tensor) -> None:
        """Take the statistics [C] of the data set, in pixel values 0..255, as the store has them."""
        if self.known is None:
            return
        known_mean, known_std = (255 * torch.tensor(numbers, device=mean.device) for numbers in self.known)
        share = torch.tensor(LUMINANCE if self.greying else (1.0,), device=mean.device)
        self.scale.copy_((share * std / known_std)[:, None, None])
        self.shift.copy_((share * (mean - known_mean) / known_std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        images, size = torch.addcmul(self.shift, images, self.scale), (self.size, self.size)
        if self.greying:
            images = images.sum(1, keepdim=True)
        if images.shape[2:] == size:
            return images
        smaller = self.size < images.shape[-1]
        return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=smaller)


class TransferNetwork(nn.Module):
    """Logits [N, classes] of normalised images [N, C, S, S]; the backbone's first blocks may be frozen."""

    def __init__(self, architecture: Transfer, *, images: ImageShape, network_of: NetworkOf) -> None:
        """`network_of` makes a fresh network of another family, where one of those is the backbone."""
        super().__init__()
        self.norm: nn.Module = nn.Identity()
        if architecture.backbone == "own":
            file = Path(architecture.weights)
            known = origin(file)
            side, channels, _ = known.images
            self.prepare = Preprocessing(known.statistics, size=side, channels=channels, given=images.channels)
            self.backbone = network_of(known.architecture, images=known.images)
            self.blocks, neurons = load_trunk(self.backbone, file, known)
        else:
            model, statistics = _model(architecture.backbone, architecture.weights)
            self.prepare = Preprocessing(statistics, size=architecture.input_size)
            self.backbone = nn.Sequential(*_blocks(architecture.backbone, model))
            self.blocks, neurons = [*self.backbone], BACKBONES[architecture.backbone].features
            if architecture.backbone == "convnext_tiny":
                self.norm = model.classifier[0]
        self.frozen = self.blocks[: round(architecture.frozen * len(self.blocks))]
        for block in self.frozen:
            block.requires_grad_(False)
        self.head = nn.Sequential()
        for outputs in (*architecture.hidden, images.classes):
            self.head.extend([nn.Dropout(architecture.dropout), nn.Linear(neurons, outputs), nn.ReLU()])
            neurons = outputs
        self.head.pop(-1)  # no activation follows the classifier
        self.train()

    def train(self, mode: bool = True) -> TransferNetwork:
        """As every module, but the statistics of frozen blocks stay what they were."""
        super().train(mode)
        for block in self.frozen:
            block.eval()
        return self

    def backbone_blocks(self) -> list[nn.Module]:
        """What was trained elsewhere, from the input, frozen blocks included."""
        return [*self.blocks[:-1], nn.ModuleList([self.blocks[-1], self.norm])]

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(self.prepare(images))
        if features.dim() == 4:
            features = features.mean(dim=(2, 3), keepdim=True)
        logits: Tensor = self.head(self.norm(features).flatten(1))
        return logits


def _model(backbone: str, weights: str) -> tuple[Any, Statistics | None]:
    """Torchvision's model, with the statistics of the images that its weights know."""
    from torchvision.models import get_model, get_model_weights  # seconds, and only here

    if weights == NONE:
        return get_model(backbone, weights=None), None
    built_on = torch.get_default_device()
    with torch.device("meta"):  # to draw weights that are replaced would take seconds
        model = get_model(backbone, weights=None)
    if built_on.type != "meta":
        load(model, backbone=backbone, weights=weights)
    preset = get_model_weights(backbone).DEFAULT.transforms()
    return model, (tuple(preset.mean), tuple(preset.std))


def _blocks(backbone: str, model: Any) -> Iterator[nn.Module]:
    """The parts between which a backbone may be cut into frozen and trained, from the input."""
    if backbone.startswith("resnet"):
        yield nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
        yield from (model.layer1, model.layer2, model.layer3, model.layer4)
    elif backbone == "vgg16":
        ends = [index for index, layer in enumerate(model.features, start=1) if isinstance(layer, nn.MaxPool2d)]
        yield from (model.features[start:end] for start, end in zip([0, *ends], ends, strict=False))
    else:
        yield from model.features
