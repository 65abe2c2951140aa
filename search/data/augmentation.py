"""Random changes of a training batch, drawn for each image, all on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search.candidate import Recipe
from search.data.cifar10 import Images

SIDE = 32  # pixels
_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey, ITU-R BT.601


@dataclass(frozen=True, eq=False)
class Targets:
    """What the network should say: cross entropy is share * CE(labels) + (1 - share) * CE(other), or CE(labels)."""

    labels: Tensor  # int64 [B]
    other: Tensor | None = None  # int64 [B]: the label of the image that was mixed in
    share: Tensor | None = None  # float32 [B]: the share of an image's own pixels


@dataclass(frozen=True, eq=False)
class Prepared:
    """The training images, laid out so that one gather cuts, shifts and mirrors a batch."""

    windows: Tensor  # uint8 [places, 96]: the 32 pixels from each place of each padded row, as a view
    labels: Tensor  # int64 [N]
    mirrored: Tensor  # bool [N]: the half that alternating flip mirrors in even epochs
    fill: Tensor  # uint8 [3]: the colour of an erased pixel


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of a recipe: flip and translate, then rotation, colour, cutout, and last mixup or cutmix."""

    recipe: Recipe

    def prepare(self, images: Images, *, fill: Tensor, seed: int) -> Prepared:
        """Lay the images out once per training; `fill` [3] is their mean colour, `seed` picks alternating's half.

        Rows are padded by reflection and, to flip, stored a second time mirrored: 276 MB for 40,000 images.
        """
        padded = images.pixels.contiguous()
        if self.recipe.translate:
            reach = torch.arange(-self.recipe.translate, SIDE + self.recipe.translate, device=padded.device)
            padded = padded.index_select(2, _reflect(reach))
        if self.recipe.flip != "none":
            padded = torch.cat([padded, padded.flip(2)])
        places = padded.numel() // 3 - (SIDE - 1)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        return Prepared(
            windows=padded.as_strided((places, SIDE * 3), (3, 1)),
            labels=images.labels,
            mirrored=(order < len(images) // 2).to(padded.device),
            fill=fill.round().to(torch.uint8),
        )

    def batch(
        self, prepared: Prepared, index: Tensor, *, epoch: int, generator: torch.Generator
    ) -> tuple[Tensor, Targets]:
        """Cut the images `index` (int64 [B], on the device): pixels [B, 32, 32, 3] in 0..255 with their targets.

        The pixels stay uint8 unless rotation, color, mixup or cutmix is on. Equal generator states give equal batches.
        """
        recipe, draw = self.recipe, _Draw(generator, index.device, len(index))
        pixels, labels = self._cut(prepared, index, epoch, draw), prepared.labels[index]
        if recipe.rotation:
            pixels = _rotate(pixels, draw.between(-recipe.rotation, recipe.rotation))
        if recipe.color:
            pixels = _recolor(pixels, draw.between(1 - recipe.color, 1 + recipe.color, 3))
        if recipe.cutout:
            erased = _squares(draw.between(0, SIDE, 2), recipe.cutout)
            pixels = torch.where(_to_channels(erased), prepared.fill.repeat(SIDE), _rows(pixels)).view_as(pixels)
        if not (recipe.mixup or recipe.cutmix):
            return pixels, Targets(labels)
        own = self._own(draw)
        partner = pixels.roll(1, 0)  # batches are shuffled, so a neighbour is a random partner
        mixed = torch.lerp(_rows(partner).float(), _rows(pixels).float(), _to_channels(own)).view_as(pixels)
        return mixed, Targets(labels, labels.roll(1), own.mean((1, 2)))

    def _cut(self, prepared: Prepared, index: Tensor, epoch: int, draw: _Draw) -> Tensor:
        """Shift and mirror by choosing, for each row of each image, the place where its window begins."""
        reach, image = self.recipe.translate, index
        if self.recipe.flip == "alternating":
            image = index + len(prepared.labels) * (prepared.mirrored[index] ^ (epoch % 2 == 1))
        elif self.recipe.flip == "random":
            image = index + len(prepared.labels) * (draw.between(0, 1) < 0.5)
        row = torch.arange(SIDE, device=index.device).expand(len(index), SIDE)
        place = torch.zeros_like(index)
        if reach:
            down, place = draw.integers(2 * reach + 1, 2)
            row = _reflect(row + down[:, None] - reach)
        begin = (image[:, None] * SIDE + row) * (SIDE + 2 * reach) + place[:, None]
        return prepared.windows.index_select(0, begin.flatten()).view(-1, SIDE, SIDE, 3)

    def _own(self, draw: _Draw) -> Tensor:
        """The share of its own image in each pixel, [B, 32, 32]; with mixup and cutmix on, a coin picks one of them."""
        own = torch.ones(draw.count, SIDE, SIDE, device=draw.device)
        if self.recipe.mixup:
            own = own * _beta(draw, self.recipe.mixup)[:, None, None]
        if self.recipe.cutmix:
            side = SIDE * (1 - _beta(draw, self.recipe.cutmix)).sqrt()
            outside = 1 - _squares(draw.between(0, SIDE, 2), side[:, None]).float()
            coin = draw.between(0, 1) < 0.5 if self.recipe.mixup else torch.zeros_like(side, dtype=torch.bool)
            own = torch.where(coin[:, None, None], own, outside)
        return own


@dataclass(frozen=True)
class _Draw:
    """Random numbers for a batch, drawn where the generator lives: a CPU generator gives every device the same."""

    generator: torch.Generator
    device: torch.device
    count: int

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers [*shape, B]."""
        unit = torch.rand(*shape, self.count, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * unit).to(self.device)

    def integers(self, bound: int, *shape: int) -> Tensor:
        """Uniform integers [*shape, B] from 0 to bound - 1."""
        size = (*shape, self.count)
        return torch.randint(bound, size, generator=self.generator, device=self.generator.device).to(self.device)


def _beta(draw: _Draw, shape: float) -> Tensor:
    """Numbers [B] of the Beta(shape, shape) distribution.

    Exact for every shape: t = sqrt(U^(-1/shape) - 1) cos(2 pi V) has Student's form (Bailey 1994), and
    (1 + t / sqrt(1 + t^2)) / 2 is then Beta (Devroye 1996); written so that a small shape cannot overflow.
    """
    first, second = draw.between(0, 1, 2)
    power, cosine = first.pow(1 / shape), torch.cos(2 * math.pi * second)
    spread = cosine.square() * (1 - power)
    return torch.sqrt(spread / (power + spread)) * cosine.sign() / 2 + 0.5


def _reflect(position: Tensor) -> Tensor:
    """Positions beyond an edge, mirrored at the edge pixel: -1 is 1, 32 is 30."""
    return (SIDE - 1) - ((SIDE - 1) - position.abs()).abs()


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


def _rotate(pixels: Tensor, degrees: Tensor) -> Tensor:
    """Each image turned counter-clockwise by its angle [B], bilinear, the edges reflected; float32."""
    angle = degrees.deg2rad()
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrices = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrices, [len(pixels), 3, SIDE, SIDE], align_corners=False)
    planes = pixels.permute(0, 3, 1, 2).float()
    turned = F.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
    return turned.permute(0, 2, 3, 1)


def _recolor(pixels: Tensor, factors: Tensor) -> Tensor:
    """Each image with its brightness, contrast and saturation [3, B] multiplied, in this order; float32 in 0..255."""
    brightness, contrast, saturation = factors[:, :, None, None]
    flat = pixels.reshape(len(pixels), -1, 3).float()
    luma = torch.tensor(_LUMA, device=pixels.device)
    grey = (flat @ luma).mean(1)[:, None, None]
    blend = saturation * torch.eye(3, device=pixels.device) + (1 - saturation) * luma[:, None]
    changed = torch.baddbmm(brightness * (1 - contrast) * grey, flat, brightness * contrast * blend)
    return changed.clamp_(0, 255).view(pixels.shape)
