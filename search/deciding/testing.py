"""Opens the test set: the only place outside the data package that asks for it."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from search.data.sources import Source
from search.data.store import streamed_if_large
from search.deciding.statistics import Interval, balanced_interval, interval_at, recipe_interval, seed_half_width
from search.files import write_whole
from search.slots.machine import Machine
from search.training.evaluate import SIX_VIEWS, answering

ABOUT_VIEWS = (
    "The verdict rests on the plain answers: each test image seen once, as it is. With test-time views the answers to "
    "six views of it are averaged (itself and two shifts by one pixel, each also mirrored). The published 94 % of the "
    "airbench line are with these views (arXiv 2404.00498): compare them with that number, not with the plain one."
)


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


class Score(NamedTuple):
    """How good the answers are: the share of all images that is right or, balanced, the mean of that of each class."""

    accuracy: float  # the mean over seeds
    interval: Interval
    balanced: bool


@dataclass(frozen=True)
class Confusion:
    """One class taken for another."""

    true: str
    predicted: str
    count: float  # test images, the mean over seeds
    share: float  # of the images of the true class
    share_of_errors: float


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedTest:
    """The answers on the test images: every seed on the same images, each seen once as it is."""

    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    answers: npt.NDArray[np.int64]  # [seed, true class, predicted class], images
    correct_with_views: tuple[int, ...]  # by seed, with test-time views; nothing else rests on them
    members: int = 1  # networks of the ensemble: these, and the confirmed ones
    correct_of_ensemble: int | None = None  # with views; nothing else rests on it

    @property
    def n(self) -> int:
        """The number of test images."""
        return int(self.answers[0].sum())

    @property
    def correct(self) -> list[int]:
        """The right answers of each seed."""
        return [int(answers.trace()) for answers in self.answers]

    @property
    def accuracies(self) -> list[float]:
        """The test accuracy of each seed."""
        return [correct / self.n for correct in self.correct]

    @property
    def accuracy(self) -> float:
        """The mean over seeds."""
        return sum(self.correct) / (self.n * len(self.seeds))

    @property
    def accuracy_with_views(self) -> float:
        """The mean over seeds with test-time views."""
        return fmean(self.correct_with_views) / self.n

    @property
    def accuracy_of_ensemble(self) -> float | None:
        """Of the mean of the probabilities of all networks that were paid for, with test-time views."""
        return None if self.correct_of_ensemble is None else self.correct_of_ensemble / self.n

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """[true class, predicted class], images, summed over seeds."""
        return np.asarray(self.answers.sum(axis=0))

    @cached_property
    def interval(self) -> Interval:
        """The 95 % interval of the accuracy, see `statistics.recipe_interval`."""
        return recipe_interval(self.correct, self.n)

    @cached_property
    def per_class(self) -> tuple[ClassAccuracy, ...]:
        """Every class that has test images, in the order of the labels."""
        classes = []
        for name, row, right in zip(self.classes, self.answers[0], self.confusion.diagonal(), strict=True):
            n, mean = int(row.sum()), int(right) / len(self.seeds)
            if n:
                classes.append(ClassAccuracy(name=name, accuracy=mean / n, n=n, interval=interval_at(mean, n)))
        return tuple(classes)

    @property
    def unequal(self) -> bool:
        """Some classes have more test images than others."""
        return len({row.n for row in self.per_class}) > 1

    def score(self, *, balanced: bool) -> Score:
        """The plain accuracy or the balanced one, with its interval."""
        if not balanced:
            return Score(self.accuracy, self.interval, balanced)
        there = self.answers[0].sum(1) > 0
        accuracies = [fmean(seed.diagonal()[there] / seed.sum(1)[there]) for seed in self.answers]
        classes = [(row.accuracy, row.interval) for row in self.per_class]
        interval = balanced_interval(classes, spread=seed_half_width(accuracies))
        return Score(fmean(accuracies), interval, balanced)

    def confusions(self, most: int) -> tuple[Confusion, ...]:
        """The pairs of classes confused most often, the most frequent first; none where there is no error."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = []
        for true, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
            if images := int(wrong[true, predicted]):
                names, count = (self.classes[true], self.classes[predicted]), images / len(self.seeds)
                share, of_errors = float(images / self.confusion[true].sum()), float(images / wrong.sum())
                pairs.append(Confusion(*names, count, share=share, share_of_errors=of_errors))
        return tuple(pairs)


def sha256_of_test(source: Source) -> str:
    """The SHA-256 of the test images and their labels; nothing answers them here, so that this is no opening."""
    return source.test().fingerprint


def tested(
    source: Source,
    *,
    enter: Callable[[tuple[str, ...]], None],
    weights: Sequence[RetrainedWeights],
    machine: Machine,
    kept: Path,
    others: Sequence[Path],
) -> OpenedTest:
    """What the test found of these weights: as it was kept there, or by an opening.

    `enter` puts an opening by weights of these SHA-256 into the ledger, before the images are answered. `others` are
    weights that join these in an ensemble.
    """
    test = kept_test(kept, weights=weights)
    if test is None:
        enter(tuple(row.sha256 for row in weights))
        test = open_test(source, weights=weights, machine=machine, others=others)
        keep_test(test, kept, weights=weights)
    return test


def open_test(
    source: Source, *, weights: Sequence[RetrainedWeights], machine: Machine, others: Sequence[Path] = ()
) -> OpenedTest:
    """Test the weights of every seed once, plain and with views, and with the others as an ensemble.

    The opening must be in the ledger already.
    """
    images = streamed_if_large(source.test(), device=machine.device).to(machine.device)
    side = len(images.classes)
    answers = np.zeros((len(weights), side, side), dtype=np.int64)
    seen = []  # of each network, with views
    for row, counts in zip(weights, answers, strict=True):
        ask = answering(row.path, images=images, precision=machine.precision)
        np.add.at(counts, (images.labels.cpu().numpy(), ask().argmax(1).cpu().numpy()), 1)
        seen.append(ask(views=SIX_VIEWS))
    seen += [answering(path, images=images, precision=machine.precision)(views=SIX_VIEWS) for path in others]
    right = [int((each.argmax(1) == images.labels).sum()) for each in (*seen, torch.stack(seen).softmax(2).mean(0))]
    return OpenedTest(
        seeds=tuple(row.seed for row in weights),
        classes=images.classes,
        answers=answers,
        correct_with_views=tuple(right[: len(weights)]),
        members=len(seen),
        correct_of_ensemble=right[-1] if len(seen) > 1 else None,
    )


def keep_test(test: OpenedTest, path: Path, *, weights: Sequence[RetrainedWeights]) -> None:
    """Write down what the test found of these weights, before anything is made of it. Raises OSError."""
    kept = {**vars(test), "answers": test.answers.tolist(), "weights_sha256": [row.sha256 for row in weights]}
    write_whole(path, json.dumps(kept).encode())


def kept_test(path: Path, *, weights: Sequence[RetrainedWeights]) -> OpenedTest | None:
    """What an earlier start kept of the test of these very weights, which thus needs no second opening; else None."""
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept.pop("weights_sha256") == [row.sha256 for row in weights]:
            rows: dict[str, Any] = {name: tuple(kept[name]) for name in ("seeds", "classes", "correct_with_views")}
            together: dict[str, Any] = {
                "members": kept.get("members", 1),
                "correct_of_ensemble": kept.get("correct_of_ensemble"),
            }
            return OpenedTest(answers=np.array(kept["answers"], dtype=np.int64), **rows, **together)
    return None
