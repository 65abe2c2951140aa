"""A report as a decision makes it, from numbers that nobody measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from search.candidate import from_values
from search.deciding.choice import Chosen
from search.deciding.decide import Report
from search.deciding.request import Claim
from search.deciding.testing import OpenedTest
from search.deciding.trainings import TrainedEpoch
from search.description import CIFAR10
from search.networks.count import Cost
from search.planning.confirmation import Confirmed
from search.training.result import EpochResult
from studies.ledger import Opening

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def epochs(phase: Any, trial: int, seed: int, *, length: int = 6) -> list[TrainedEpoch]:
    """A training that looks like one; a retraining has no validation."""
    on_all = phase == "retraining"
    results = [
        EpochResult(
            epoch=epoch, epochs=length, train_loss=0.5 + 1.6 / epoch + 0.01 * seed, train_accuracy=0.9 - 0.5 / epoch,
            validation_loss=None if on_all else 0.55 + 1.4 / epoch,
            validation_accuracy=None if on_all else 0.92 - 0.45 / epoch - 0.002 * trial,
            learning_rate=0.1 / epoch, seconds=21.25,
        )
        for epoch in range(1, length + 1)
    ]  # fmt: skip
    return [TrainedEpoch(phase=phase, name=f"trial {trial}", trial=trial, seed=seed, result=row) for row in results]


def answered(correct: Sequence[int], n: int) -> OpenedTest:
    """A test with so many right answers of each seed; all images are cats."""
    answers = np.array([[[right, n - right], [0, 0]] for right in correct])
    seeds = tuple(range(len(correct)))
    return OpenedTest(seeds=seeds, classes=("cat", "dog"), answers=answers, correct_with_views=tuple(correct))


OPENING = Opening(
    by="study fast", trial=7, weights_sha256=("ab",), data_sha256="cd", time="2026-03-01T10:00:00.123456+00:00"
)


def opened(**changes: Any) -> OpenedTest:
    """1,000 images a class and seed; cats are taken for dogs."""
    one = np.full((10, 10), 5) + np.diag(np.full(10, 950))
    one[3, 5], one[3, 3] = 105, 855
    given = {"seeds": (11, 12), "classes": CLASSES, "answers": np.stack([one, one]), "correct_with_views": (9500, 9520)}
    return OpenedTest(**{**given, **changes})


def example(**changes: Any) -> Report:
    winner = Confirmed(trial=7, accuracies=(0.900, 0.9024), flops=34_000_000)
    other = Confirmed(trial=4, accuracies=(0.894, 0.897), flops=30_000_000)
    history = [
        *epochs("search", 0, 100, length=3),
        *(row for trial in (7, 4) for seed in (1, 2) for row in epochs("confirmation", trial, seed)),
        *epochs("retraining", 7, 11),
        *epochs("retraining", 7, 12),
    ]
    given: dict[str, Any] = {
        "study": "fast",
        "device": "cpu, 2 threads",
        "data": "CIFAR-10 in a folder",
        "official": True,
        "generated": False,
        "images": CIFAR10,
        "candidate": from_values({"architecture.family": "fast", "recipe.learning_rate": 0.01}),
        "cost": Cost(parameters=154_000, flops=34_000_000, activations=0),
        "choice": Chosen(confirmation=(winner, other), winner=winner),
        "test": opened(),
        "claims": (Claim("Detectocorp", 0.7),),
        "openings": (OPENING,),
        "seconds": 1040.5,
        "trials": {"complete": 31, "pruned": 18, "failed": 1},
        "provenance": {"torch": "2.10.0", "split": "sha256:ab12", "command": "cifar-search best --retrain | tee <log>"},
        "history": tuple(history),
    }
    return Report(**{**given, **changes})
