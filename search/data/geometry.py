"""Rotates, resizes and shears, by a matrix for each image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32  # pixels


def reflect(position: Tensor) -> Tensor:
    """Positions beyond an edge, mirrored at the edge pixel: -1 is 1, 32 is 30."""
    return (SIDE - 1) - ((SIDE - 1) - position.abs()).abs()


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
    """Pixels [B, 32, 32, 3] taken from where `matrix` [B, 2, 3] says, bilinear, the edges reflected; float32."""
    grid = F.affine_grid(matrix, [len(pixels), 3, SIDE, SIDE], align_corners=False)
    planes = pixels.permute(0, 3, 1, 2).contiguous().float()
    warped = F.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
    return warped.permute(0, 2, 3, 1)
