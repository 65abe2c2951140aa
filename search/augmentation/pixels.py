"""Turns, resizes, shears and recolours images, each by its own numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey, ITU-R BT.601


def reflect(position: Tensor, *, side: int) -> Tensor:
    """Positions beyond an edge, mirrored at the edge pixel: -1 is 1, and of 32 pixels 32 is 30."""
    return (side - 1) - ((side - 1) - position.abs()).abs()


def matrices(degrees: Tensor, *, scale: Tensor, shear: Tensor) -> Tensor:
    """Where each pixel comes from, [B, 2, 3], when pictures are sheared along x, along y, resized and last turned.

    `degrees` [B] turn counter-clockwise, `scale` [B] above 1 enlarges, `shear` [2, B] is in degrees; the centre stays.
    Coordinates go from -1 to 1. torchvision's affine does the same, but turns clockwise.
    """
    angle = degrees.deg2rad()
    cos, sin, zero = angle.cos() / scale, angle.sin() / scale, torch.zeros_like(angle)
    along_x, along_y = shear.deg2rad().tan()
    lower_left, lower_right = sin + along_y * cos, cos - along_y * sin
    upper_left, upper_right = cos + along_x * lower_left, along_x * lower_right - sin
    rows = [upper_left, upper_right, zero, lower_left, lower_right, zero]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def warp(pixels: Tensor, matrix: Tensor) -> Tensor:
    """Pixels [B, S, S, C] taken from where `matrix` [B, 2, 3] says, bilinear, the edges reflected; float32."""
    planes = pixels.permute(0, 3, 1, 2).contiguous().float()
    grid = F.affine_grid(matrix, list(planes.shape), align_corners=False)
    warped = F.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
    return warped.permute(0, 2, 3, 1)


def recolour(pixels: Tensor, factors: Tensor) -> Tensor:
    """Each image with its brightness, contrast and saturation [3, B] multiplied, in this order; float32 in 0..255."""
    brightness, contrast, saturation = factors[:, :, None, None]
    channels = pixels.shape[3]
    flat = pixels.reshape(len(pixels), -1, channels).float()
    luma = torch.tensor(LUMA if channels == len(LUMA) else (1.0,), device=pixels.device)
    grey = (flat @ luma).mean(1)[:, None, None]
    blend = saturation * torch.eye(channels, device=pixels.device) + (1 - saturation) * luma[:, None]
    changed = torch.baddbmm(brightness * (1 - contrast) * grey, flat, brightness * contrast * blend)
    return changed.clamp_(0, 255).view(pixels.shape)


def turn_hue(pixels: Tensor, turns: Tensor) -> Tensor:
    """Each image's hues turned by its share [B] of the colour circle; float32 in 0..255. What is grey has none.

    Value and saturation of HSV (Smith 1978) stay: each channel is the highest one less the share of the chroma
    (highest less lowest) that it misses, which grows from 0 to 1 from a sixth to a third of the circle away from it.
    """
    if pixels.shape[3] == 1:
        return pixels.float()
    planes = pixels.reshape(len(pixels), -1, 3).transpose(1, 2).contiguous().float()
    red, green, blue = planes.unbind(1)  # each [B, S * S]
    high = planes.amax(1)
    chroma = high - planes.amin(1)
    per_chroma = 1 / chroma.clamp(min=torch.finfo(torch.float32).tiny)
    # in sixths of the circle: red is 0, green 2, blue 4
    hue = torch.where(high == green, 2 + (blue - red) * per_chroma, 4 + (red - green) * per_chroma)
    hue = torch.where(high == red, (green - blue) * per_chroma, hue)
    hue = (hue + 6 * turns[:, None]) % 6
    missing = torch.stack([2 - (hue - 3).abs(), (hue - 2).abs() - 1, (hue - 4).abs() - 1], dim=2)
    return torch.addcmul(high[..., None], missing.clamp_(0, 1), chroma[..., None], value=-1).view(pixels.shape)
