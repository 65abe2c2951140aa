"""RandAugment and TrivialAugment: operations that are drawn for each image, and their strengths.

Operations, ranges and rounding are those of torchvision's RandAugment and TrivialAugmentWide, and so is taking the
nearest pixel in the geometric ones; where torchvision leaves black behind, these leave the colour they are given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search.augmentation.draw import BatchDraw
from search.augmentation.pixels import matrices
from search.candidate import Recipe

MAGNITUDES = 31  # from 0 to 30
_LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights of red, green and blue in grey: truncated, 0.299 is not the same

Change = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Planes uint8 [B, C, S, S], strengths float32 [B] and the colour of what is empty, uint8 [C], to changed planes.

Planes, because broadcasting over an innermost dimension of 3 is slow on a CPU.
"""


@dataclass(frozen=True)
class Operation:
    """One way to change an image, with its strengths at magnitude 0 and magnitude 30."""

    change: Change
    moderate: tuple[float, float] = (0, 0)  # RandAugment's
    wide: tuple[float, float] = (0, 0)  # TrivialAugment's
    signed: bool = False  # a coin turns the strength into its opposite
    sides: bool = False  # these strengths are in sides of the picture, those of its change in pixels


def _rotate(planes: Tensor, strength: Tensor, fill: Tensor) -> Tensor:
    shear = torch.zeros_like(strength).expand(2, -1)
    return _pick(planes, matrices(strength, scale=torch.ones_like(strength), shear=shear), fill)


def _displace(direction: tuple[tuple[float, ...], ...], *, whole: bool = False) -> Change:
    """Take each pixel from `strength` times `direction` away, a matrix like those of geometry; or from whole pixels."""

    def change(planes: Tensor, strength: Tensor, fill: Tensor) -> Tensor:
        side = planes.shape[-1]
        steps = strength.trunc() / side if whole else strength
        away = steps[:, None, None] * torch.tensor(direction, device=planes.device)
        return _pick(planes, torch.eye(2, 3, device=planes.device) + away, fill)

    return change


def _pick(planes: Tensor, matrix: Tensor, fill: Tensor) -> Tensor:
    """The pixel nearest to where `matrix` [B, 2, 3] says, and the fill where the picture ends."""
    grid = F.affine_grid(matrix, list(planes.shape), align_corners=False)
    empty = fill[:, None, None]
    picked = F.grid_sample(planes.float() - empty, grid, mode="nearest", align_corners=False)  # 0 beyond an edge
    return (picked + empty).to(torch.uint8)


def _away_from(origin: Callable[[Tensor], Tensor]) -> Change:
    """Grow the difference from what `origin` makes of planes, -1 giving the origin; a level's fraction is dropped."""

    def change(planes: Tensor, strength: Tensor, _fill: Tensor) -> Tensor:
        more = strength[:, None, None, None]
        return ((1 + more) * planes - more * origin(planes)).clamp_(0, 255).to(torch.uint8)

    return change


def _blurred(planes: Tensor) -> Tensor:
    """The middle of 3 x 3 pixels counts five times; the border stays."""
    levels = planes.float()
    rows = levels[:, :, :-2] + levels[:, :, 1:-1] + levels[:, :, 2:]  # sums, where avg_pool2d takes four times as long
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * levels[:, :, 1:-1, 1:-1]
    blurred = planes.clone()
    blurred[:, :, 1:-1, 1:-1] = (total / 13).round()
    return blurred


def _mean_grey(planes: Tensor) -> Tensor:
    return _grey(planes).float().mean((1, 2, 3), keepdim=True)


def _grey(planes: Tensor) -> Tensor:
    """Grey levels, uint8 [B, 1, S, S]."""
    if planes.shape[1] == 1:
        return planes
    red, green, blue = (weight * plane for weight, plane in zip(_LUMA, planes.unbind(1), strict=True))
    return (red + green + blue).to(torch.uint8)[:, None]


def _posterize(planes: Tensor, strength: Tensor, _fill: Tensor) -> Tensor:
    """The highest bits of each level, so many as `strength` rounds to."""
    dropped = (8 - strength.round()).to(torch.uint8)[:, None, None, None]
    return planes >> dropped << dropped


def _solarize(planes: Tensor, strength: Tensor, _fill: Tensor) -> Tensor:
    """Levels from `strength` on inverted."""
    return torch.where(planes >= strength[:, None, None, None], 255 - planes, planes)


def _autocontrast(planes: Tensor, _strength: Tensor, _fill: Tensor) -> Tensor:
    """Each channel stretched to 0..255; one of a single level stays."""
    low, high = (level[..., None, None].float() for level in planes.flatten(2).aminmax(dim=2))
    flat = low == high
    scale = 255 / torch.where(flat, 255, high - low)
    return ((planes - torch.where(flat, 0, low)) * scale).clamp_(0, 255).to(torch.uint8)


def _equalize(planes: Tensor, _strength: Tensor, _fill: Tensor) -> Tensor:
    """Each channel's levels spread so that they occur equally often, in Pillow's whole steps."""
    levels = planes.flatten(2).long()  # [B, C, S * S]
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=planes.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    highest = levels.amax(2, keepdim=True)
    step = (levels.shape[2] - counts.gather(2, highest)) // 255
    table = (counts.cumsum(2) - counts + step // 2) // step.clamp(min=1)  # from the number of lower levels
    table = torch.where(step == 0, torch.arange(256, device=planes.device), table.clamp_(max=255))
    return table.gather(2, levels).to(torch.uint8).view(planes.shape)


# Sheared, each row moves by `strength` for each pixel from the top: the upper left corner stays, as in AutoAugment.
_shear_x, _shear_y = _displace(((0, 1, 1), (0, 0, 0))), _displace(((0, 0, 0), (1, 0, 1)))
_translate_x = _displace(((0, 0, -2), (0, 0, 0)), whole=True)
_translate_y = _displace(((0, 0, 0), (0, 0, -2)), whole=True)

# The ranges are torchvision's, whose widest shift of 32 pixels is the side of the pictures it was made for;
# 150 / 331 is AutoAugment's 150 pixels (arXiv 1805.09501) of a picture of 331.
OPERATIONS: dict[str, Operation] = {
    "identity": Operation(lambda planes, _strength, _fill: planes),
    "shear x": Operation(_shear_x, moderate=(0, 0.3), wide=(0, 0.99), signed=True),  # pixels per pixel
    "shear y": Operation(_shear_y, moderate=(0, 0.3), wide=(0, 0.99), signed=True),
    "translate x": Operation(_translate_x, moderate=(0, 150 / 331), wide=(0, 1), signed=True, sides=True),
    "translate y": Operation(_translate_y, moderate=(0, 150 / 331), wide=(0, 1), signed=True, sides=True),
    "rotate": Operation(_rotate, moderate=(0, 30), wide=(0, 135), signed=True),  # degrees, counter-clockwise
    "brightness": Operation(_away_from(torch.zeros_like), moderate=(0, 0.9), wide=(0, 0.99), signed=True),  # relative
    "saturation": Operation(_away_from(_grey), moderate=(0, 0.9), wide=(0, 0.99), signed=True),
    "contrast": Operation(_away_from(_mean_grey), moderate=(0, 0.9), wide=(0, 0.99), signed=True),
    "sharpness": Operation(_away_from(_blurred), moderate=(0, 0.9), wide=(0, 0.99), signed=True),
    "posterize": Operation(_posterize, moderate=(8, 4), wide=(8, 2)),  # bits
    "solarize": Operation(_solarize, moderate=(255, 0), wide=(255, 0)),  # level
    "autocontrast": Operation(_autocontrast),
    "equalize": Operation(_equalize),
}


class Policy:
    """The policy of a recipe, ready to change batches on the device of `fill`, the colour uint8 [C] of what is empty.

    RandAugment (arXiv 1909.13719) changes an image by `operations` at one `magnitude`; TrivialAugment (2103.10158), in
    its wide form, by one operation at a random magnitude, and uses neither number.
    """

    def __init__(self, recipe: Recipe, *, fill: Tensor, side: int) -> None:
        trivial, known = recipe.policy == "trivialaugment", OPERATIONS.values()
        ranges = [
            torch.linspace(*(each.wide if trivial else each.moderate), MAGNITUDES) * (side if each.sides else 1)
            for each in known
        ]
        self.strengths = torch.stack(ranges).to(fill.device)  # float32 [operations, magnitudes]
        self.signed = torch.tensor([each.signed for each in known], device=fill.device)
        self._fill, self._rounds = fill, 1 if trivial else recipe.operations  # operations, one after the other
        self._magnitude = None if trivial else recipe.magnitude  # None draws one for each image

    def change(self, pixels: Tensor, draw: BatchDraw) -> Tensor:
        """Each image of `pixels` (uint8 [B, S, S, C]) changed by operations drawn for it, with replacement."""
        planes = pixels.permute(0, 3, 1, 2).contiguous()
        for _ in range(self._rounds):
            which = draw.integers(len(OPERATIONS))
            magnitude = draw.integers(MAGNITUDES) if self._magnitude is None else self._magnitude
            strength = self.strengths[which, magnitude]
            strength = torch.where(self.signed[which] & draw.coins(), -strength, strength)
            planes = self._apply(planes, which, strength)
        return planes.permute(0, 2, 3, 1).contiguous()

    def _apply(self, planes: Tensor, which: Tensor, strength: Tensor) -> Tensor:
        """Each image after the operation number `which` [B]; the images of one operation are changed together."""
        order = which.argsort()
        others = torch.arange(1, len(OPERATIONS), device=which.device)
        begins = torch.searchsorted(which[order], others).tolist()  # here alone the host waits for the device
        parts = zip(planes[order].tensor_split(begins), strength[order].tensor_split(begins), strict=True)
        changed = [
            operation.change(part, strengths, self._fill) if len(part) else part
            for operation, (part, strengths) in zip(OPERATIONS.values(), parts, strict=True)
        ]
        return torch.cat(changed)[order.argsort()]
