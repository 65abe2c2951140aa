"""What a network takes from the training images before it is trained."""

from __future__ import annotations

from torch import Tensor, nn

from search.networks.blocks import Whitening
from search.networks.transfer import Preprocessing


def fit(network: nn.Module, *, images: Tensor, mean: Tensor, std: Tensor) -> None:
    """Fit every whitening stem and preprocessing, in place.

    `images` are normalised ones, float [N, 3, H, W], a few thousand; `mean` and `std` [3] are what normalised them, in
    pixel values 0..255.
    """
    for module in network.modules():
        if isinstance(module, Whitening):
            module.fit(images)
        elif isinstance(module, Preprocessing):
            module.fit(mean=mean, std=std)
