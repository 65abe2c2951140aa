"""Smaller pictures in the first part of a training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from search.candidate import Architecture, Candidate, Cell, Cnn, Fast, Mlp, Recipe, Residual, Transfer
from search.networks.blocks import PIXELS, NetworkError
from search.networks.cell import STAGES
from search.networks.fast import sides
from search.training.filtering import PROXY

FAMILIES = "fast, residual and cell"  # that take smaller pictures


def side_of(recipe: Recipe, *, step: int, steps: int) -> int:
    """Pixels along a side of the pictures that the step after `step` of `steps` is trained on."""
    return recipe.resolution if step < recipe.resolution_until * steps else PIXELS


def shrunk(images: Tensor, *, side: int) -> Tensor:
    """Images [B, 3, 32, 32] as [B, 3, side, side], channels last."""
    if side == images.shape[-1]:
        return images
    smaller = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
    return smaller.contiguous(memory_format=torch.channels_last)


def check_resolution(candidate: Candidate) -> None:
    """Raises NetworkError where the network, or the proxy that picks its images, cannot take the smaller pictures."""
    side, recipe = candidate.recipe.resolution, candidate.recipe
    if side == PIXELS or recipe.resolution_until == 0:
        return
    try:
        _check(candidate.architecture, side)
        if recipe.keep < 1:
            sides(PROXY, side)
    except NetworkError as error:
        raise NetworkError(f"recipe.resolution {side}: {error}") from error


def _check(architecture: Architecture, side: int) -> None:
    match architecture:
        case Fast():
            sides(architecture, side)
        case Residual():
            pass  # halves by padded convolutions, which leave one pixel of one, and ends with a mean
        case Cell():
            halved = 2 ** (STAGES - 1)
            if side % halved:
                raise NetworkError(f"a cell network halves its pictures evenly: take a multiple of {halved}")
        case Cnn() | Mlp():
            raise NetworkError(
                f"the linear layers of family {architecture.family} take {PIXELS} x {PIXELS} pixels only; take 32, "
                f"or one of the families {FAMILIES}"
            )
        case Transfer():
            raise NetworkError(
                f"family transfer brings every picture to its architecture.input_size, which may vary instead; "
                f"take 32, or one of the families {FAMILIES}"
            )
