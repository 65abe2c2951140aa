"""How much memory a training needs, counted before it starts."""

from __future__ import annotations

from search.candidate import Recipe
from search.networks.count import Cost, cost
from search.training.filtering import PROXY, sizes

BYTES = 4  # of a number in float32, in which weights and gradients are kept

MOST_IMAGES = 50_000  # that a step can draw: all of CIFAR-10's training images

MOMENTS = {"sgd": 1, "adam": 2, "adamw": 2, "rmsprop": 2, "muon": 1}
"""Numbers that an optimiser keeps for each weight."""


def training_bytes(counted: Cost, recipe: Recipe) -> int:
    """Weights, gradients, the optimiser's moments, the averaged weights, and what a batch's forward pass keeps.

    With a proxy that picks the images also what it needs; its forward pass is over before the network's begins.
    Without what the device's own libraries take; in half precision the activations need half of theirs.
    """
    copies = 2 + MOMENTS[recipe.optimizer]
    weights, activations = (copies + recipe.averaging) * counted.parameters, counted.activations * recipe.batch_size
    if recipe.keep < 1:
        proxy, (drawn, _) = cost(PROXY), sizes(recipe, images=MOST_IMAGES)
        weights, activations = weights + copies * proxy.parameters, max(activations, drawn * proxy.activations)
    return BYTES * weights + activations
