"""A report as a decision makes it, from numbers that nobody measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from search.deciding.evidence import Confirmed, Epoch, OpenedTest, Report
from search.deciding.request import Claim

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def epochs(phase: Any, trial: int, seed: int, *, length: int = 6) -> list[Epoch]:
    """A training that looks like one; a retraining has no validation."""
    on_all = phase == "retraining"
    return [
        Epoch(
            phase=phase,
            trial=trial,
            seed=seed,
            epoch=epoch,
            epochs=length,
            train_loss=0.5 + 1.6 / epoch + 0.01 * seed,
            train_accuracy=0.9 - 0.5 / epoch,
            validation_loss=None if on_all else 0.55 + 1.4 / epoch,
            validation_accuracy=None if on_all else 0.92 - 0.45 / epoch - 0.002 * trial,
            learning_rate=0.1 / epoch,
            seconds=21.25,
        )
        for epoch in range(1, length + 1)
    ]


def opened(*, seeds: tuple[int, ...] = (11, 12)) -> OpenedTest:
    """1,000 images a class and seed; cats are taken for dogs."""
    one = np.full((10, 10), 5) + np.diag(np.full(10, 950))
    one[3, 5], one[3, 3] = 105, 855
    return OpenedTest(
        correct=(9450,) * len(seeds),
        correct_with_views=tuple(range(9500, 9500 + 20 * len(seeds), 20)),
        n=10_000,
        seeds=seeds,
        confusion=one * len(seeds),
        classes=CLASSES,
    )


def example(**changes: Any) -> Report:
    history = [
        *epochs("search", 0, 100, length=3),
        *epochs("confirmation", 7, 1),
        *epochs("confirmation", 7, 2),
        *epochs("confirmation", 4, 1),
        *epochs("confirmation", 4, 2),
        *epochs("retraining", 7, 11),
        *epochs("retraining", 7, 12),
    ]
    given: dict[str, Any] = {
        "study": "fast",
        "device": "cpu, 2 threads",
        "data": "CIFAR-10 in a folder",
        "official": True,
        "candidate": {"architecture": {"family": "fast", "width": (32, 64, 64)}, "recipe": {"learning_rate": 0.01}},
        "parameters": 154_000,
        "flops": 34_000_000,
        "validation_accuracy": 0.9012,
        "confirmation": (
            Confirmed(trial=7, accuracies=(0.900, 0.9024), flops=34_000_000, chosen=True),
            Confirmed(trial=4, accuracies=(0.894, 0.897), flops=30_000_000, chosen=False),
        ),
        "test": opened(),
        "claims": (Claim("Detectocorp", 0.7),),
        "openings": ("2026-03-01T10:00:00+00:00",),
        "seconds": 1040.5,
        "trials": {"complete": 31, "pruned": 18, "failed": 1},
        "provenance": {"torch": "2.10.0", "split": "sha256:ab12", "command": "cifar-search best --retrain | tee <log>"},
        "history": tuple(history),
    }
    return Report(**{**given, **changes})
