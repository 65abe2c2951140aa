"""How long a training takes to reach a validation accuracy: estimated from a speed, or measured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from search.candidate import Candidate, from_values
from search.data.store import Store
from search.errors import UserError
from search.measuring.throughput import Throughput
from search.networks.build import build
from search.planning.catalogue import load
from search.training.evaluate import evaluate
from search.training.precision import Precision
from search.training.train import begin, train
from spaces import Problem, SpaceError

IMAGES, VALIDATION_IMAGES = 45_000, 5_000  # of the official training set in the usual split


class ReachError(UserError):
    """An accuracy for which no training is known."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Way:
    """A complete training that has reached an accuracy."""

    space: str
    baseline: str
    epochs: int

    def candidate(self) -> Candidate:
        """Raises SpaceError where the space has no such baseline."""
        space = load(self.space)
        for baseline in space.baselines:
            if baseline.name == self.baseline:
                return from_values(baseline.values)
        raise SpaceError([Problem(space.source, 0, "there is no such baseline", self.baseline)])

    def seconds(self, throughput: Throughput) -> float:
        """Training and one evaluation, on CIFAR-10, at the measured speeds of this candidate."""
        training = self.epochs * IMAGES / throughput.images_per_second
        return training + VALIDATION_IMAGES / throughput.evaluation_images_per_second


REACHED: dict[int, Way | None] = {
    70: Way(space="fast", baseline="sprint", epochs=1),
    80: Way(space="fast", baseline="sprint", epochs=1),
    90: Way(space="fast", baseline="airbench-muon", epochs=11),
    94: None,
}
"""The shortest training measured for each target, percent on the validation images (studies/results/LOG.md, 10)."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How long this machine would take to a target, by its speed."""

    target: int  # percent
    way: Way | None
    seconds: float | None  # None where no training is known, or its speed was not measured


@dataclass(frozen=True, kw_only=True)
class Reach:
    """One training to a target, measured from a cold start."""

    target: int  # percent
    way: Way
    accuracy: float  # of the validation images, after the last epoch
    seconds: float  # with building and fitting the network, and one evaluation at the end
    evaluation_seconds: float  # of these

    @property
    def met(self) -> bool:
        return 100 * self.accuracy >= self.target


def estimates(speeds: Mapping[tuple[str, str], Throughput]) -> tuple[Estimate, ...]:
    """One for each target; `speeds` are by space and baseline."""
    return tuple(
        Estimate(target=target, way=way, seconds=_seconds(way, speeds.get((way.space, way.baseline))) if way else None)
        for target, way in REACHED.items()
    )


def _seconds(way: Way, throughput: Throughput | None) -> float | None:
    return way.seconds(throughput) if throughput else None


def way_to(target: int) -> Way:
    """The training that reaches so many percent. Raises ReachError."""
    way = REACHED.get(target)
    if way is None:
        known = ", ".join(str(known) for known, way in REACHED.items() if way)
        raise ReachError(f"no length of a training is measured for {target} % validation accuracy; measured: {known}")
    return way


def reach(target: int, *, store: Store, precision: Precision) -> Reach:
    """Train from nothing as the target's training says, whether or not it is met. Raises ReachError, SpaceError."""
    way, images = way_to(target), store.validation
    assert images  # the usual split has some
    candidate = way.candidate()
    start = time.perf_counter()
    network = build(candidate.architecture, classes=len(store.training.classes), seed=0, device=store.device)
    # Only its end is asked for: the last training before a test evaluates nothing on the way either.
    unwatched = replace(store, validation=None)
    training = begin(network, recipe=candidate.recipe, store=unwatched, epochs=way.epochs, seed=0, precision=precision)
    for _ in train(training):
        pass
    trained = time.perf_counter()
    accuracy = evaluate(network, images, store=store, precision=precision).accuracy
    end = time.perf_counter()
    return Reach(
        target=target,
        way=way,
        accuracy=accuracy,
        seconds=end - start,
        evaluation_seconds=end - trained,
    )
