"""Random changes of a training batch, drawn for each image, all on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from search.augmentation.draw import BatchDraw
from search.augmentation.pixels import matrices, recolour, reflect, turn_hue, warp
from search.augmentation.policy import Policy
from search.candidate import Recipe
from search.data.images import Images


@dataclass(frozen=True, eq=False)
class Targets:
    """What the network should answer: the loss is share * CE(labels) + (1 - share) * CE(other), or CE(labels)."""

    labels: Tensor  # int64 [B]
    other: Tensor | None = None  # int64 [B]: the label of the image that was mixed in
    share: Tensor | None = None  # float32 [B]: the share of an image's own pixels


class Augmentation:
    """A recipe's augmentation: flip and translate, policy, geometry, colour, cutout, and last mixup or cutmix.

    Rows are padded by reflection and, to flip, stored a second time mirrored, so that one indexing operation cuts,
    shifts and mirrors a batch: 276 MB for 40,000 images. Of images that stay on the disk each batch is laid out so.
    """

    def __init__(self, recipe: Recipe, images: Images, *, fill: Tensor, seed: int) -> None:
        """Lay the training images out; `fill` [C] is their mean colour, `seed` picks the half of alternating flip."""
        self._recipe, self._images = recipe, images
        self._side, self._channels = side, _ = images.pixels.shape[2:]
        self._windows = self._laid_out(images.pixels) if images.rows is None else None
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        self._mirrored = (order < len(images) // 2).to(fill.device)  # the half that is mirrored in even epochs
        self._fill = fill.round().to(torch.uint8)  # the colour of an erased pixel
        self._policy = None if recipe.policy == "none" else Policy(recipe, fill=self._fill, side=side)

    def batch(self, index: Tensor, *, epoch: int, generator: torch.Generator) -> tuple[Tensor, Targets]:
        """Cut the images `index` (int64 [B], on the device): pixels [B, S, S, C] in 0..255 with their targets.

        Geometry, colour, mixup and cutmix make uint8 pixels float32. Equal generator states give equal batches.
        """
        recipe, draw = self._recipe, BatchDraw(generator, index.device, len(index))
        pixels, labels = self._cut(index, epoch, draw), self._images.labels[index]
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
            erased = _squares(draw.between(0, self._side, 2), recipe.cutout, of=self._side)
            fill = self._fill.repeat(self._side)
            pixels = torch.where(self._to_channels(erased), fill, _rows(pixels)).view_as(pixels)
        if not (recipe.mixup or recipe.cutmix):
            return pixels, Targets(labels)
        own = self._own(draw)
        partner = pixels.roll(1, 0)  # batches are shuffled, so a neighbour is a random partner
        mixed = torch.lerp(_rows(partner).float(), _rows(pixels).float(), self._to_channels(own)).view_as(pixels)
        return mixed, Targets(labels, labels.roll(1), own.mean((1, 2)))

    def _laid_out(self, pixels: Tensor) -> Tensor:
        """A row's width from each place of these images."""
        padded, side, channels, translate = pixels.contiguous(), self._side, self._channels, self._recipe.translate
        if translate:
            reach = torch.arange(-translate, side + translate, device=padded.device)
            padded = padded.index_select(2, reflect(reach, side=side))
        if self._recipe.flip != "none":
            padded = torch.cat([padded, padded.flip(2)])
        places = padded.numel() // channels - (side - 1)
        return padded.as_strided((places, side * channels), (channels, 1))

    def _cut(self, index: Tensor, epoch: int, draw: BatchDraw) -> Tensor:
        """Shift and mirror by choosing, for each row of each image, the place where its window begins."""
        reach, side, windows, image, count = self._recipe.translate, self._side, self._windows, index, len(self._images)
        if windows is None:
            windows, count = self._laid_out(self._images.at(index)), len(index)
            image = torch.arange(count, device=index.device)
        if self._recipe.flip == "alternating":
            image = image + count * (self._mirrored[index] ^ (epoch % 2 == 1))
        elif self._recipe.flip == "random":
            image = image + count * draw.coins()
        row = torch.arange(side, device=index.device).expand(len(index), side)
        place = torch.zeros_like(index)
        if reach:
            down, place = draw.integers(2 * reach + 1, 2)
            row = reflect(row + down[:, None] - reach, side=side)
        begin = (image[:, None] * side + row) * (side + 2 * reach) + place[:, None]
        return windows.index_select(0, begin.flatten()).view(-1, side, side, self._channels)

    def _own(self, draw: BatchDraw) -> Tensor:
        """The share of its own image in each pixel, [B, S, S]; with both mixup and cutmix, one is drawn per image."""
        side = self._side
        own = torch.ones(draw.count, side, side, device=draw.device)
        if self._recipe.mixup:
            own = own * draw.beta(self._recipe.mixup)[:, None, None]
        if self._recipe.cutmix:
            pasted = side * (1 - draw.beta(self._recipe.cutmix)).sqrt()
            outside = 1 - _squares(draw.between(0, side, 2), pasted[:, None], of=side).float()
            coin = draw.coins() if self._recipe.mixup else torch.zeros_like(pasted, dtype=torch.bool)
            own = torch.where(coin[:, None, None], own, outside)
        return own

    def _to_channels(self, mask: Tensor) -> Tensor:
        """A number for each pixel, [B, S, S], repeated for its channels: [B, S, S * C]."""
        return mask.repeat_interleave(self._channels, dim=2)


def _squares(centre: Tensor, side: Tensor | float, *, of: int) -> Tensor:
    """Whether each pixel lies in its image's square, bool [B, S, S]; `centre` is [2, B] in 0..S, and S is `of`."""
    middle = torch.arange(of, device=centre.device) + 0.5
    near = (middle - centre[..., None]).abs() < side / 2
    return near[0, :, :, None] & near[1, :, None, :]


def _rows(pixels: Tensor) -> Tensor:
    """Pixels [B, S, S, C] as rows of numbers [B, S, S * C], over which a CPU is fast."""
    return pixels.flatten(2)
