"""A few seconds of training on the official images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from search.candidate import Candidate, Fast, Recipe
from search.data import cifar10, split
from search.data.store import store
from search.networks.build import build
from search.training.precision import best_precision
from search.training.train import begin, train

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif("CIFAR_SEARCH_DATA" not in os.environ, reason="needs CIFAR-10: set CIFAR_SEARCH_DATA"),
]


def test_seconds_of_training_beat_40_percent() -> None:
    images = cifar10.load_training(cifar10.find(Path(os.environ["CIFAR_SEARCH_DATA"]), download=False))
    parts = split.stratified(images.labels, validation=5000, seed=0)
    cpu = torch.device("cpu")
    data = store(images, split=parts, device=cpu, most=10_000)
    candidate = Candidate(
        architecture=Fast(width=(16, 32, 64), depth=(1, 1, 1)), recipe=Recipe(batch_size=128, averaging=False)
    )
    network = build(candidate.architecture, seed=0)

    training = begin(network, recipe=candidate.recipe, store=data, epochs=3, seed=0, precision=best_precision(cpu))
    *_, last = filter(None, train(training))

    assert len(data.training) == 10_000
    assert last.validation_accuracy is not None
    assert last.validation_accuracy > 0.40
