"""What a network may offer beside `forward`: each is asked for by its name, so no other module knows a family."""

from __future__ import annotations

from torch import Tensor, nn


def fit(network: nn.Module, *, images: Tensor, mean: Tensor, std: Tensor) -> None:
    """Call `fit(images, mean=..., std=...)` of each module that has it: before a training it adapts to the images.

    `images` are normalised ones, float [N, 3, H, W], a few thousand; `mean` and `std` [3] are what normalised them, in
    pixel values 0..255.
    """
    for module in network.modules():
        adapt = getattr(module, "fit", None)
        if callable(adapt):
            adapt(images, mean=mean, std=std)


def backbone_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that were trained elsewhere: those of the network's `backbone_parameters()`, if it has it."""
    parameters = getattr(network, "backbone_parameters", list)
    return list(parameters())
