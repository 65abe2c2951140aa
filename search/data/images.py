"""Images with their labels, as tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from search.description import ImageShape
from search.errors import DataError


@dataclass(frozen=True, eq=False)
class Images:
    """Square images of one size. Raises DataError."""

    pixels: Tensor  # uint8 [N, S, S, C]: height, width, channel, the layout in which a batch is cut fastest
    labels: Tensor  # int64 [N]
    classes: tuple[str, ...]
    groups: Tensor | None = None  # int64 [N]: equal where two images are copies; None: they are taken as they come
    validation: Tensor | None = None  # int64: the images that the source keeps for validation; None: it names none
    rows: Tensor | None = None  # int64 [N]: of the pixels, which stay on the disk; None: they are those of the images

    def __post_init__(self) -> None:
        pixels, labels, shape = self.pixels, self.labels, list(self.pixels.shape)
        square = pixels.dim() == 4 and shape[1] == shape[2] and shape[3] in (1, 3)
        if pixels.dtype != torch.uint8 or not square or len(pixels) == 0:
            rule = "images must be torch.uint8 [N, S, S, C] with N > 0 and 1 or 3 channels"
            raise DataError(f"{rule}, not {pixels.dtype} {shape}")
        count = len(pixels if self.rows is None else self.rows)
        if labels.dtype != torch.int64 or labels.shape != (count,):
            shape = list(labels.shape)
            raise DataError(f"labels must be torch.int64 [{count}], one per image, not {labels.dtype} {shape}")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(self.classes):
            raise DataError(f"labels must lie in 0..{len(self.classes) - 1}, not in {low}..{high}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> ImageShape:
        """What a network for these images is built for."""
        _, _, side, channels = self.pixels.shape
        return ImageShape(side, channels, len(self.classes))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of pixels and labels, in hex."""
        digest = hashlib.sha256()
        for part in (self.pixels, self.labels):
            digest.update(part.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def at(self, index: Tensor) -> Tensor:
        """The pixels [B, S, S, C] of the images that `index` (int64 [B]) names, on the device of the labels."""
        if self.rows is None:
            return self.pixels.index_select(0, index)
        return self.pixels.index_select(0, self.rows[index.to(self.rows.device)]).to(self.labels.device)

    def batches(self, size: int) -> Iterator[Tensor]:
        """The pixels of so many images at a time, in their order."""
        return map(self.at, torch.split(torch.arange(len(self), device=self.labels.device), size))

    def take(self, index: Tensor) -> Images:
        """The images that `index` (int64) names, in its order."""
        rows = None if self.rows is None else self.rows[index.to(self.rows.device)]
        pixels = self.pixels.index_select(0, index) if rows is None else self.pixels
        return Images(pixels, self.labels.index_select(0, index), self.classes, rows=rows)

    def to(self, device: torch.device) -> Images:
        """The same images on a device; of those whose pixels stay where they are the labels."""
        pixels = self.pixels.to(device) if self.rows is None else self.pixels
        return Images(pixels, self.labels.to(device), self.classes, rows=self.rows)
