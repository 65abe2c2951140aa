"""All the data that a training needs, on its device."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from search.container import Container
from search.data.images import Images
from search.data.split import Split, balanced
from search.errors import DataError

# Of a device's memory, for pixels: augmentation lays them out in 2.5 times as much, and a CPU has up to four slots.
SHARES = {"cpu": 0.05, "cuda": 0.15}
COUNTED = 200  # images whose pixels are counted at a time


@dataclass(frozen=True, eq=False)
class Store:
    """The images of both parts, with the statistics of the training part alone."""

    training: Images
    validation: Images | None
    mean: Tensor  # float32 [C], of each channel, in pixel values 0..255
    std: Tensor  # likewise
    device: torch.device

    def __post_init__(self) -> None:
        channels = self.training.pixels.shape[3:]
        if self.mean.shape != channels or self.std.shape != channels or not bool((self.std > 0).all()):
            raise DataError(f"every channel needs a mean and a spread, not {self.mean.tolist()}, {self.std.tolist()}")


def store(images: Images, *, split: Split | None, device: torch.device, most: int | None = None) -> Store:
    """Put `images` (on the CPU) on the device; without a split all of them train.

    `most` limits the training part to so many images, each class in its share. Raises DataError.
    """
    if split is not None and len(split) != len(images):
        raise DataError(f"the split is of {len(split)} images, the data has {len(images)}; use the data of the split")
    indices = [torch.from_numpy(index) for index in (split.training, split.validation)] if split else []
    images = streamed_if_large(images, device=device)
    parts = [images.take(index) for index in indices] or [images]
    if most is not None:
        order = balanced(parts[0].labels, seed=split.seed if split else 0, shares=True)
        parts[0] = parts[0].take(torch.from_numpy(order[:most]))
    mean, std = (numbers.to(device) for numbers in _statistics(parts[0]))
    training, validation = parts[0].to(device), parts[1].to(device) if split else None
    return Store(training=training, validation=validation, mean=mean, std=std, device=device)


def streamed_if_large(images: Images, *, device: torch.device) -> Images:
    """The same images (on the CPU); too many for this device, each batch of them is fetched when it is needed."""
    cuda = device.type == "cuda"
    memory = torch.cuda.mem_get_info(device)[0] if cuda else Container().most_memory()
    large = images.pixels.nbytes > SHARES[device.type] * memory
    return replace(images, rows=torch.arange(len(images))) if large else images


def normalise(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Pixels [B, H, W, C] as a network reads them: float32 [B, C, H, W], channels last, mean 0 and spread 1."""
    count, height, width, channels = pixels.shape
    # Whole rows of numbers, because broadcasting over an innermost dimension of 3 is six times slower on a CPU.
    scale, shift = (1 / std).repeat(height * width), (-mean / std).repeat(height * width)
    flat = torch.addcmul(shift, pixels.reshape(count, -1), scale)
    return flat.view(count, height, width, channels).permute(0, 3, 1, 2)


def _statistics(images: Images) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [C] of the pixels, exact: from how often each value occurs."""
    counts = torch.zeros(images.shape.channels, 256, dtype=torch.int64)
    for pixels in images.batches(COUNTED):
        counts += torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in pixels.unbind(-1)])
    share = counts.double() / counts.sum(1, keepdim=True)
    value = torch.arange(256, dtype=torch.float64)
    mean = share @ value
    variance = (share * (value - mean[:, None]).square()).sum(1)
    return mean.float(), variance.sqrt().float()
