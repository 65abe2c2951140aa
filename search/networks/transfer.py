"""The transfer family: a backbone of torchvision with weights that were trained elsewhere, and a new head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.candidate import Transfer
from search.description import ImageShape
from search.networks.weights import BACKBONES, NONE, load

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and spread of each channel, in pixel values 0..1


class Preprocessing(nn.Module):
    """From images normalised as the data set is, to images normalised and enlarged as the backbone knows them."""

    scale: Tensor
    shift: Tensor

    def __init__(self, known: Statistics | None, *, size: int) -> None:
        """`known`: of the images that the backbone was trained on; None keeps the data set's normalisation."""
        super().__init__()
        self.known, self.size = known, size
        self.register_buffer("scale", torch.ones(3, 1, 1))  # kept with the weights
        self.register_buffer("shift", torch.zeros(3, 1, 1))

    @torch.no_grad()
    def fit(self, _: Tensor, *, mean: Tensor, std: Tensor) -> None:
        """Take the statistics [3] of the data set, in pixel values 0..255, as the store has them."""
        if self.known is None:
            return
        known_mean, known_std = (255 * torch.tensor(numbers, device=mean.device) for numbers in self.known)
        self.scale.copy_((std / known_std)[:, None, None])
        self.shift.copy_(((mean - known_mean) / known_std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        images = torch.addcmul(self.shift, images, self.scale)
        if images.shape[-1] == self.size:
            return images
        return F.interpolate(images, size=(self.size, self.size), mode="bilinear", align_corners=False)


class TransferNetwork(nn.Module):
    """Logits [N, classes] of normalised images [N, C, S, S]; the backbone's first blocks may be frozen."""

    def __init__(self, architecture: Transfer, *, images: ImageShape) -> None:
        super().__init__()
        model, known = _model(architecture.backbone, architecture.weights)
        self.prepare = Preprocessing(known, size=architecture.input_size)
        self.backbone = nn.Sequential(*_blocks(architecture.backbone, model))
        self.frozen = round(architecture.frozen * len(self.backbone))
        self.backbone[: self.frozen].requires_grad_(False)
        self.norm = model.classifier[0] if architecture.backbone == "convnext_tiny" else nn.Identity()
        self.head, neurons = nn.Sequential(), BACKBONES[architecture.backbone].features
        for outputs in (*architecture.hidden, images.classes):
            self.head.extend([nn.Dropout(architecture.dropout), nn.Linear(neurons, outputs), nn.ReLU()])
            neurons = outputs
        self.head.pop(-1)  # no activation follows the classifier
        self.train()

    def train(self, mode: bool = True) -> TransferNetwork:
        """As every module, but the statistics of frozen blocks stay what they were."""
        super().train(mode)
        self.backbone[: self.frozen].eval()
        return self

    def backbone_parameters(self) -> list[nn.Parameter]:
        """The parameters that were trained elsewhere, frozen ones included."""
        return [*self.backbone.parameters(), *self.norm.parameters()]

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(self.prepare(images)).mean(dim=(2, 3), keepdim=True)
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
