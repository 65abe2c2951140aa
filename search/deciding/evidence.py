"""The evidence of a decision as checked data: what was tried, confirmed and tested, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from search.deciding import statistics
from search.deciding.recommendation import Recommendation, recommend
from search.deciding.request import Claim
from search.deciding.statistics import Interval

Phase = Literal["search", "confirmation", "retraining"]

ABOUT_VIEWS = (
    "The verdict rests on the plain accuracy: each test image seen once, as it is. With test-time views the answers to "
    "six views of it are averaged (itself and two shifts by one pixel, each also mirrored). The published 94 % of the "
    "airbench line are with these views (arXiv 2404.00498): compare them with that number, not with the plain one."
)


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch of one training. None: not measured, as validation is where all images are trained on."""

    phase: Phase
    trial: int
    seed: int
    epoch: int  # from 1
    epochs: int  # the length of this training
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float | None
    seconds: float | None

    def __post_init__(self) -> None:
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value is not None and not isfinite(value):
                place = f"{self.phase}, trial {self.trial}, seed {self.seed}, epoch {self.epoch}"
                raise ValueError(f"{field.name} must be finite or None, not {value} ({place})")


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """One of the best trials, trained again with fresh seeds."""

    trial: int
    accuracies: tuple[float, ...]  # validation, one per seed
    flops: int
    chosen: bool

    def __post_init__(self) -> None:
        if not self.accuracies or not all(0 <= accuracy <= 1 for accuracy in self.accuracies):
            raise ValueError(f"trial {self.trial} needs one accuracy between 0 and 1 per seed, not {self.accuracies}")

    @property
    def mean(self) -> float:
        """The mean validation accuracy over the seeds."""
        return sum(self.accuracies) / len(self.accuracies)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The choice is frozen; the test set is still closed."""

    confirmation: tuple[Confirmed, ...]
    dropped: tuple[str, ...]  # candidates whose training failed, and why

    @property
    def winner(self) -> Confirmed:
        """The one that was chosen."""
        return next(row for row in self.confirmation if row.chosen)


@dataclass(frozen=True, kw_only=True)
class RetrainedWeights:
    """The weights of one final training, with the JSON that describes them beside them."""

    path: Path
    seed: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy:
    """How often the images of one class were recognised."""

    name: str
    accuracy: float
    n: int  # test images of this class
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """One class taken for another."""

    true: str
    predicted: str
    count: float  # test images, the mean over seeds
    share: float  # of the images of the true class
    share_of_errors: float


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedTest:
    """The answers on the test images: right ones per seed, every seed on the same n images, seen once as they are."""

    correct: tuple[int, ...]
    correct_with_views: tuple[int, ...]  # the same with test-time views; nothing else rests on them
    n: int
    seeds: tuple[int, ...]
    confusion: npt.NDArray[np.integer[Any]]  # [true class, predicted class], images, summed over seeds
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or len(self.correct) != len(self.seeds):
            raise ValueError(f"one count per different seed is needed, not {self.correct} for seeds {self.seeds}")
        views = self.correct_with_views
        if len(views) != len(self.seeds) or not all(0 <= correct <= self.n for correct in views):
            raise ValueError(f"correct_with_views holds one count of 0 to {self.n} per seed, not {views}")
        side = len(self.classes)
        if self.confusion.shape != (side, side) or not np.issubdtype(self.confusion.dtype, np.integer):
            raise ValueError(f"the confusion matrix holds {side} x {side} integers, not {self.confusion.shape} numbers")
        images = self.confusion.sum(axis=1)
        if self.confusion.min() < 0 or images.min() < 1 or (images % len(self.seeds)).any():
            raise ValueError(f"every class needs the same test images for each seed, not rows of {images.tolist()}")
        counted = (int(images.sum()), int(self.confusion.trace()))
        stated = (self.n * len(self.seeds), sum(self.correct))
        if counted != stated or max(self.correct) > self.n:
            raise ValueError(f"the matrix holds (images, right answers) {counted}, but stated are {stated}")

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The test accuracy of each seed."""
        return tuple(correct / self.n for correct in self.correct)

    @property
    def accuracy(self) -> float:
        """The mean over seeds."""
        return sum(self.correct) / (self.n * len(self.correct))

    @property
    def accuracy_with_views(self) -> float:
        """The mean over seeds with test-time views."""
        return sum(self.correct_with_views) / (self.n * len(self.correct_with_views))

    @cached_property
    def interval(self) -> Interval:
        """The 95 % interval of the accuracy, see `statistics.recipe_interval`."""
        return statistics.recipe_interval(self.correct, self.n)

    @cached_property
    def per_class(self) -> tuple[ClassAccuracy, ...]:
        """Every class, in the order of the labels."""
        classes = []
        for name, row, right in zip(self.classes, self.confusion, self.confusion.diagonal(), strict=True):
            n = int(row.sum()) // len(self.seeds)
            mean = int(right) / len(self.seeds)
            classes.append(ClassAccuracy(name=name, accuracy=mean / n, n=n, interval=statistics.interval_at(mean, n)))
        return tuple(classes)

    def confusions(self, most: int) -> tuple[Confusion, ...]:
        """The pairs of classes confused most often, the most frequent first; none where there is no error."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = [(int(index) // len(self.classes), int(index) % len(self.classes)) for index in order]
        return tuple(
            Confusion(
                true=self.classes[true],
                predicted=self.classes[predicted],
                count=int(wrong[true, predicted]) / len(self.seeds),
                share=float(wrong[true, predicted] / self.confusion[true].sum()),
                share_of_errors=float(wrong[true, predicted] / wrong.sum()),
            )
            for true, predicted in pairs
            if wrong[true, predicted]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """All the evidence of a decision, from which the verdict is computed."""

    study: str
    device: str
    data: str  # where the images came from
    official: bool  # they are CIFAR-10, so that the number may be compared with anything at all
    candidate: Mapping[str, Any]  # nested plain data, as Candidate.as_dict gives it
    parameters: int
    flops: int  # of one image, forward
    validation_accuracy: float  # the number the candidate was chosen by
    confirmation: tuple[Confirmed, ...]
    test: OpenedTest
    claims: tuple[Claim, ...]
    openings: tuple[str, ...]  # ISO times at which this study's test set was opened, this one last
    seconds: float  # wall clock of confirmation, retraining and test
    trials: Mapping[str, int]  # counts by state: complete, pruned, failed
    provenance: Mapping[str, str]  # versions, seeds, hashes, precision, threads, command line
    history: tuple[Epoch, ...]
    starts: tuple[Mapping[str, str], ...] = ()  # the provenance of every start of the search
    weights: tuple[RetrainedWeights, ...] = ()  # that were tested

    def __post_init__(self) -> None:
        if not 0 <= self.validation_accuracy <= 1:
            raise ValueError(f"validation_accuracy lies between 0 and 1, not {self.validation_accuracy}")
        if not (isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"seconds must be finite, 0 or more, not {self.seconds}")
        if not self.openings:
            raise ValueError("a test accuracy without an opening of the test set: record it in the ledger first")
        if self.confirmation and sum(confirmed.chosen for confirmed in self.confirmation) != 1:
            raise ValueError(f"exactly one of the confirmed trials is chosen, not {self.confirmation}")

    @cached_property
    def recommendation(self) -> Recommendation:
        """The verdict and its sentences."""
        test = self.test
        spread = statistics.seed_half_width(test.accuracies)
        return recommend(test.accuracy, test.interval, self.claims, n=test.n, seeds=len(test.seeds), spread=spread)

    @property
    def confirm_epochs(self) -> int:
        """Epochs of a confirmation's schedule; 0 where there was none."""
        return max((row.epochs for row in self.history if row.phase == "confirmation"), default=0)

    @property
    def optimism(self) -> tuple[float, float] | None:
        """Seed-to-seed spread and expected luck of the best complete trial, as fractions; None if not measured."""
        spread = statistics.pooled_sd([confirmed.accuracies for confirmed in self.confirmation])
        complete = self.trials.get("complete", 0)
        if spread is None or complete < 1:
            return None
        return spread, statistics.expected_optimism(complete, spread)


def curves(history: Sequence[Epoch], phase: Phase) -> dict[tuple[int, int], list[Epoch]]:
    """The epochs of every training of a phase, in order, by trial and seed."""
    by_training: dict[tuple[int, int], list[Epoch]] = {}
    for epoch in sorted((row for row in history if row.phase == phase), key=lambda row: row.epoch):
        by_training.setdefault((epoch.trial, epoch.seed), []).append(epoch)
    return by_training
