"""All the data that a training needs, on its device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from search.data.cifar10 import DataError, Images
from search.data.split import Split, balanced


@dataclass(frozen=True, eq=False)
class Store:
    """The images of both parts, with the statistics of the training part alone."""

    training: Images
    validation: Images | None
    mean: Tensor  # float32 [3], of each channel, in pixel values 0..255
    std: Tensor  # likewise
    device: torch.device

    def __post_init__(self) -> None:
        if self.mean.shape != (3,) or self.std.shape != (3,) or not bool((self.std > 0).all()):
            raise DataError(f"every channel needs a mean and a spread, not {self.mean.tolist()}, {self.std.tolist()}")


def store(images: Images, *, split: Split | None, device: torch.device, most: int | None = None) -> Store:
    """Put `images` (on the CPU) on the device; without a split all of them train.

    `most` limits each part to so many images, equally many of every class: for a first look. Raises DataError.
    """
    if split is not None and len(split) != len(images):
        raise DataError(f"the split is of {len(split)} images, the data has {len(images)}; use the data of the split")
    training, validation = images, None
    if split is not None:
        training = images.take(torch.from_numpy(split.training))
        validation = images.take(torch.from_numpy(split.validation))
    if most is not None:
        seed = 0 if split is None else split.seed
        training = _first(training, most, seed)
        validation = None if validation is None else _first(validation, most, seed)
    mean, std = _statistics(training.pixels)
    return Store(
        training=training.to(device),
        validation=None if validation is None else validation.to(device),
        mean=mean.to(device),
        std=std.to(device),
        device=device,
    )


def normalise(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Pixels [B, H, W, 3] as a network reads them: float32 [B, 3, H, W], channels last, mean 0 and spread 1."""
    count, height, width, channels = pixels.shape
    # Whole rows of numbers, because broadcasting over an innermost dimension of 3 is six times slower on a CPU.
    scale, shift = (1 / std).repeat(height * width), (-mean / std).repeat(height * width)
    flat = torch.addcmul(shift, pixels.reshape(count, -1), scale)
    return flat.view(count, height, width, channels).permute(0, 3, 1, 2)


def _first(images: Images, most: int, seed: int) -> Images:
    return images.take(torch.from_numpy(balanced(images.labels, seed=seed)[:most]))


def _statistics(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [3] of uint8 pixels [N, H, W, 3], exact: from how often each value occurs."""
    counts = torch.stack([torch.bincount(pixels[..., channel].flatten(), minlength=256) for channel in range(3)])
    share = counts.double() / counts.sum(1, keepdim=True)
    value = torch.arange(256, dtype=torch.float64)
    mean = share @ value
    variance = (share * (value - mean[:, None]).square()).sum(1)
    return mean.float(), variance.sqrt().float()
