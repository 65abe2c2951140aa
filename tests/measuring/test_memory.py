"""The memory of a training is counted before it starts."""

from __future__ import annotations

from search.candidate import Recipe
from search.measuring.memory import training_bytes
from search.networks.count import Cost


def test_a_training_keeps_weights_gradients_moments_averages_and_a_batchs_activations() -> None:
    counted = Cost(parameters=1000, flops=1, activations=7)
    assert training_bytes(counted, Recipe(batch_size=100)) == 4 * (2 + 1 + 1) * 1000 + 700
    assert training_bytes(counted, Recipe(optimizer="adam", averaging=False, batch_size=1)) == 4 * (2 + 2) * 1000 + 7
