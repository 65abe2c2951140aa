"""Short trainings on the official images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from small_networks import CIFAR10

from search.candidate import FAMILIES, Candidate, Fast, Recipe, from_values
from search.data import cifar10, split
from search.data.images import Images
from search.data.store import store
from search.networks.build import build
from search.planning.catalogue import load
from search.training.precision import best_precision
from search.training.train import Training, train

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif("CIFAR_SEARCH_DATA" not in os.environ, reason="needs CIFAR-10: set CIFAR_SEARCH_DATA"),
]


def images() -> Images:
    return cifar10.load_training(cifar10.find(Path(os.environ["CIFAR_SEARCH_DATA"]), download=False))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", FAMILIES)
def test_one_epoch_of_each_family_beats_30_percent(family: str) -> None:
    """The first baseline of the family's space; of transfer the one that trains all, without weights to begin with.

    A machine may not be able to load those, and needs a quarter of an hour for pictures of 64 pixels.
    """
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    baselines, changes = load(family).baselines, {}
    if family == "transfer":
        baselines, changes = baselines[-1:], {"architecture.weights": "none", "architecture.input_size": 32}
    candidate = from_values({**baselines[0].values, **changes})
    parts, cpu = split.stratified(images().labels, validation=5000, seed=0), torch.device("cpu")
    data = store(images(), split=parts, device=cpu)
    network = build(candidate.architecture, images=CIFAR10, seed=0)

    training = Training(network, recipe=candidate.recipe, store=data, epochs=1, seed=0, precision=best_precision(cpu))
    (result,) = filter(None, train(training))

    print(f"{family}: {result.validation_accuracy}, {result.seconds:.0f} s")
    assert result.validation_accuracy is not None
    assert result.validation_accuracy > 0.30


def test_seconds_of_training_beat_40_percent() -> None:
    parts = split.stratified(images().labels, validation=5000, seed=0)
    cpu = torch.device("cpu")
    data = store(images(), split=parts, device=cpu, most=10_000)
    candidate = Candidate(
        architecture=Fast(width=(16, 32, 64), depth=(1, 1, 1)), recipe=Recipe(batch_size=128, averaging=False)
    )
    network = build(candidate.architecture, images=CIFAR10, seed=0)

    training = Training(network, recipe=candidate.recipe, store=data, epochs=3, seed=0, precision=best_precision(cpu))
    *_, last = filter(None, train(training))

    assert len(data.training) == 10_000
    assert last.validation_accuracy is not None
    assert last.validation_accuracy > 0.40
