"""Changes brightness, contrast, saturation and hue, by a number for each image."""

from __future__ import annotations

import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey, ITU-R BT.601


def recolour(pixels: Tensor, factors: Tensor) -> Tensor:
    """Each image with its brightness, contrast and saturation [3, B] multiplied, in this order; float32 in 0..255."""
    brightness, contrast, saturation = factors[:, :, None, None]
    flat = pixels.reshape(len(pixels), -1, 3).float()
    luma = torch.tensor(_LUMA, device=pixels.device)
    grey = (flat @ luma).mean(1)[:, None, None]
    blend = saturation * torch.eye(3, device=pixels.device) + (1 - saturation) * luma[:, None]
    changed = torch.baddbmm(brightness * (1 - contrast) * grey, flat, brightness * contrast * blend)
    return changed.clamp_(0, 255).view(pixels.shape)


def turn_hue(pixels: Tensor, turns: Tensor) -> Tensor:
    """Each image's hues turned by its share [B] of the colour circle; float32 in 0..255.

    Value and saturation of HSV (Smith 1978) stay: each channel is the highest one less the share of the chroma
    (highest less lowest) that it misses, which grows from 0 to 1 from a sixth to a third of the circle away from it.
    """
    planes = pixels.reshape(len(pixels), -1, 3).transpose(1, 2).contiguous().float()
    red, green, blue = planes.unbind(1)  # each [B, 1024]
    high = planes.amax(1)
    chroma = high - planes.amin(1)
    per_chroma = 1 / chroma.clamp(min=torch.finfo(torch.float32).tiny)
    hue = torch.where(  # in sixths of the circle: red is 0, green 2, blue 4
        high == red,
        (green - blue) * per_chroma,
        torch.where(high == green, 2 + (blue - red) * per_chroma, 4 + (red - green) * per_chroma),
    )
    hue = (hue + 6 * turns[:, None]) % 6
    missing = torch.stack([2 - (hue - 3).abs(), (hue - 2).abs() - 1, (hue - 4).abs() - 1], dim=2)
    return torch.addcmul(high[..., None], missing.clamp_(0, 1), chroma[..., None], value=-1).view(pixels.shape)
