"""How much memory a training needs, counted before it starts."""

from __future__ import annotations

from search.candidate import OPTIMIZERS, Recipe
from search.networks.count import Cost

BYTES = 4  # of a number in float32, in which weights and gradients are kept


def training_bytes(counted: Cost, recipe: Recipe) -> int:
    """Weights, gradients, the optimiser's moments, the averaged weights, and what a batch's forward pass keeps.

    Without what the device's own libraries take; in half precision the activations need half of theirs.
    """
    copies = 2 + OPTIMIZERS[recipe.optimizer].moments + recipe.averaging
    return BYTES * copies * counted.parameters + counted.activations * recipe.batch_size
