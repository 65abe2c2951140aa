"""Random changes of a training batch, drawn for each image, all on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from search.candidate import Recipe
from search.data.cifar10 import Images
from search.data.draw import BatchDraw
from search.data.pixels import SIDE, matrices, recolour, reflect, turn_hue, warp
from search.data.policy import Policy


@dataclass(frozen=True, eq=False)
class Targets:
    """What the network should answer: the loss is share * CE(labels) + (1 - share) * CE(other), or CE(labels)."""

    labels: Tensor  # int64 [B]
    other: Tensor | None = None  # int64 [B]: the label of the image that was mixed in
    share: Tensor | None = None  # float32 [B]: the share of an image's own pixels


class Augmentation:
    """A recipe's augmentation: flip and translate, policy, geometry, colour, cutout, and last mixup or cutmix.

    Rows are padded by reflection and, to flip, stored a second time mirrored, so that one indexing operation cuts,
    shifts and mirrors a batch: 276 MB for 40,000 images.
    """

    def __init__(self, recipe: Recipe, images: Images, *, fill: Tensor, seed: int) -> None:
        """Lay the training images out; `fill` [3] is their mean colour, `seed` picks the half of alternating flip."""
        padded = images.pixels.contiguous()
        if recipe.translate:
            reach = torch.arange(-recipe.translate, SIDE + recipe.translate, device=padded.device)
            padded = padded.index_select(2, reflect(reach))
        if recipe.flip != "none":
            padded = torch.cat([padded, padded.flip(2)])
        places = padded.numel() // 3 - (SIDE - 1)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        self._recipe, self._labels = recipe, images.labels
        self._windows = padded.as_strided((places, SIDE * 3), (3, 1))  # the 32 pixels from each place of each row
        self._mirrored = (order < len(images) // 2).to(padded.device)  # the half that is mirrored in even epochs
        self._fill = fill.round().to(torch.uint8)  # the colour of an erased pixel
        self._policy = None if recipe.policy == "none" else Policy(recipe, fill=self._fill)

    def batch(self, index: Tensor, *, epoch: int, generator: torch.Generator) -> tuple[Tensor, Targets]:
        """Cut the images `index` (int64 [B], on the device): pixels [B, 32, 32, 3] in 0..255 with their targets.

        Geometry, colour, mixup and cutmix make uint8 pixels float32. Equal generator states give equal batches.
        """
        recipe, draw = self._recipe, BatchDraw(generator, index.device, len(index))
        pixels, labels = self._cut(index, epoch, draw), self._labels[index]
        if self._policy:
            pixels = self._policy.change(pixels, draw)
        if recipe.rotation or recipe.scale or recipe.shear:
            degrees, scale = draw.around(0, recipe.rotation), draw.around(1, recipe.scale)
            pixels = warp(pixels, matrices(degrees, scale=scale, shear=draw.around(0, recipe.shear, 2)))
        if recipe.brightness or recipe.contrast or recipe.saturation:
            factors = [draw.around(1, reach) for reach in (recipe.brightness, recipe.contrast, recipe.saturation)]
            pixels = recolour(pixels, torch.stack(factors))
        if recipe.hue:
            pixels = turn_hue(pixels, draw.around(0, recipe.hue))
        if recipe.cutout:
            erased = _squares(draw.between(0, SIDE, 2), recipe.cutout)
            pixels = torch.where(_to_channels(erased), self._fill.repeat(SIDE), _rows(pixels)).view_as(pixels)
        if not (recipe.mixup or recipe.cutmix):
            return pixels, Targets(labels)
        own = self._own(draw)
        partner = pixels.roll(1, 0)  # batches are shuffled, so a neighbour is a random partner
        mixed = torch.lerp(_rows(partner).float(), _rows(pixels).float(), _to_channels(own)).view_as(pixels)
        return mixed, Targets(labels, labels.roll(1), own.mean((1, 2)))

    def _cut(self, index: Tensor, epoch: int, draw: BatchDraw) -> Tensor:
        """Shift and mirror by choosing, for each row of each image, the place where its window begins."""
        reach, image = self._recipe.translate, index
        if self._recipe.flip == "alternating":
            image = index + len(self._labels) * (self._mirrored[index] ^ (epoch % 2 == 1))
        elif self._recipe.flip == "random":
            image = index + len(self._labels) * draw.coins()
        row = torch.arange(SIDE, device=index.device).expand(len(index), SIDE)
        place = torch.zeros_like(index)
        if reach:
            down, place = draw.integers(2 * reach + 1, 2)
            row = reflect(row + down[:, None] - reach)
        begin = (image[:, None] * SIDE + row) * (SIDE + 2 * reach) + place[:, None]
        return self._windows.index_select(0, begin.flatten()).view(-1, SIDE, SIDE, 3)

    def _own(self, draw: BatchDraw) -> Tensor:
        """The share of its own image in each pixel, [B, 32, 32]; with both mixup and cutmix, one is drawn per image."""
        own = torch.ones(draw.count, SIDE, SIDE, device=draw.device)
        if self._recipe.mixup:
            own = own * draw.beta(self._recipe.mixup)[:, None, None]
        if self._recipe.cutmix:
            side = SIDE * (1 - draw.beta(self._recipe.cutmix)).sqrt()
            outside = 1 - _squares(draw.between(0, SIDE, 2), side[:, None]).float()
            coin = draw.coins() if self._recipe.mixup else torch.zeros_like(side, dtype=torch.bool)
            own = torch.where(coin[:, None, None], own, outside)
        return own


def _squares(centre: Tensor, side: Tensor | float) -> Tensor:
    """Whether each pixel lies in its image's square, bool [B, 32, 32]; `centre` is [2, B] in 0..32."""
    middle = torch.arange(SIDE, device=centre.device) + 0.5
    near = (middle - centre[..., None]).abs() < side / 2
    return near[0, :, :, None] & near[1, :, None, :]


def _rows(pixels: Tensor) -> Tensor:
    """Pixels [B, 32, 32, 3] as rows of numbers [B, 32, 96], over which a CPU is fast."""
    return pixels.reshape(-1, SIDE, SIDE * 3)


def _to_channels(mask: Tensor) -> Tensor:
    """A number for each pixel, [B, 32, 32], repeated for its three channels: [B, 32, 96]."""
    return mask.repeat_interleave(3, dim=2)
