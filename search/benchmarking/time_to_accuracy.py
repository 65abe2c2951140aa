"""How long a training takes to reach a validation accuracy: estimated from a speed, or measured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from search.candidate import from_values
from search.data.store import Store
from search.errors import UsageError
from search.measuring.throughput import Throughput
from search.networks.build import build
from search.planning.catalogue import load
from search.training.evaluate import evaluate
from search.training.precision import Precision
from search.training.train import Training, train

IMAGES, VALIDATION_IMAGES = 45_000, 5_000  # of the official training set in the standard split


class ReachError(UsageError):
    """An accuracy for which no training is known."""


@dataclass(frozen=True, kw_only=True)
class KnownTraining:
    """A complete training of a shipped baseline that has reached an accuracy."""

    space: str
    baseline: str
    epochs: int


REACHED: dict[int, KnownTraining | None] = {
    70: KnownTraining(space="fast", baseline="sprint", epochs=1),
    80: KnownTraining(space="fast", baseline="sprint", epochs=1),
    90: KnownTraining(space="fast", baseline="airbench-muon", epochs=11),
    94: None,
}
"""The shortest training measured for each target, percent on the validation images (studies/results/LOG.md, 10)."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """One training to a target, measured from a cold start."""

    target: int  # percent
    training: KnownTraining
    accuracy: float  # of the validation images, after the last epoch
    met: bool
    seconds: float  # with building and fitting the network, and one evaluation at the end


def estimates(speeds: Mapping[tuple[str, str], Throughput]) -> dict[int, float | None]:
    """Seconds to each target on CIFAR-10, with one evaluation, where the speed of its space and baseline is known."""
    seconds: dict[int, float | None] = dict.fromkeys(REACHED)
    for target, known in REACHED.items():
        if known and (speed := speeds.get((known.space, known.baseline))):
            evaluating = VALIDATION_IMAGES / speed.evaluation_images_per_second
            seconds[target] = known.epochs * IMAGES / speed.images_per_second + evaluating
    return seconds


def known_training(target: int) -> KnownTraining:
    """The training that reaches so many percent. Raises ReachError."""
    training = REACHED.get(target)
    if training is None:
        known = ", ".join(str(known) for known, training in REACHED.items() if training)
        raise ReachError(f"no length of a training is measured for {target} % validation accuracy; measured: {known}")
    return training


def reach(target: int, *, store: Store, precision: Precision) -> Reach:
    """Train from nothing as the target's training says, whether or not it is met. Raises ReachError."""
    known, images = known_training(target), store.validation
    assert images  # the standard split has some
    values = next(each.values for each in load(known.space).baselines if each.name == known.baseline)
    candidate, start = from_values(values), time.perf_counter()
    network = build(candidate.architecture, classes=len(store.training.classes), seed=0, device=store.device)
    alone = replace(store, validation=None)  # only the end is asked for: no epoch before it is evaluated
    recipe, epochs = candidate.recipe, known.epochs
    for _ in train(Training(network, recipe=recipe, store=alone, epochs=epochs, seed=0, precision=precision)):
        pass
    accuracy = evaluate(network, images, store=store, precision=precision).accuracy
    seconds = time.perf_counter() - start
    return Reach(target=target, training=known, accuracy=accuracy, met=100 * accuracy >= target, seconds=seconds)
