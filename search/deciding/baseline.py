"""Trains a published recipe again under the protocol of every study and tests it once: reported against reproduced."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from search.candidate import Candidate, from_values
from search.data import split as splits
from search.data.sources import find_source
from search.deciding.request import BaselineRequest
from search.deciding.statistics import LEVEL
from search.deciding.testing import OpenedTest, open_test
from search.deciding.trainings import saved_weights, seed_from, train
from search.errors import UsageError
from search.files import write_whole
from search.networks.build import fetch_weights
from search.networks.count import Cost, cost
from search.planning.forecast import SMALLEST_SHARE, work
from search.searching.provenance import circumstances
from search.slots.job import Failed, Finished, Job, patience
from search.slots.machine import survey
from search.slots.pool import Pool
from search.slots.slot_state import SlotError
from search.training.result import EpochResult
from spaces.baselines import PublishedRecipe, find_baseline
from studies.lock import file_lock


@dataclass(frozen=True, kw_only=True)
class BaselineLength:
    """How long the recipe is trained."""

    epochs: int
    images: int | None = None  # of an epoch; None is all of the training part
    budget_minutes: float | None = None  # the budget; None where the epochs were asked for
    seconds: float  # forecast


@dataclass(frozen=True, kw_only=True)
class BaselinePlanned:
    """What will be trained, where, and for how long."""

    published: PublishedRecipe
    machine: str
    data: str
    length: BaselineLength


@dataclass(frozen=True, kw_only=True)
class BaselineReproduction:
    """Reported against reproduced."""

    published: PublishedRecipe
    candidate: Candidate
    cost: Cost
    length: BaselineLength
    seed: int
    validation_accuracy: float | None  # of the last epoch
    validation_images: int
    test: OpenedTest
    seconds: float  # of training
    official: bool  # the images are CIFAR-10's own
    provenance: dict[str, str]

    @property
    def verdict(self) -> str:
        """Where the reported number lies."""
        reported, interval = self.published.reported / 100, self.test.interval
        if reported > interval.high:
            return "below what was reported"
        return "above what was reported" if reported < interval.low else "as reported"

    def as_json(self) -> dict[str, Any]:
        """What `baseline --json` prints; accuracies are shares of 1."""
        published, test, size = self.published, self.test, self.cost
        return {
            "baseline": published.name,
            "source": published.source,
            "reported": published.reported / 100,
            "reported_was_chosen_by": published.chosen_by,
            "reproduced": test.accuracy,
            "test_accuracy_with_views": test.accuracy_with_views,
            "interval": test.interval,
            "level": LEVEL,
            "test_images": test.n,
            "verdict": self.verdict,
            "published_epochs": published.epochs,
            **asdict(self.length),
            "seed": self.seed,
            "seconds": self.seconds,
            "validation_accuracy": self.validation_accuracy,
            "validation_images": self.validation_images,
            "parameters": size.parameters,
            "flops": size.flops,
            **self.candidate.as_dict(),
            "official": self.official,
            "provenance": self.provenance,
        }


BaselineStep = BaselinePlanned | EpochResult | BaselineReproduction


def reproduce_baseline(request: BaselineRequest) -> Iterator[BaselineStep]:
    """Train it, test it once, and keep the result. Raises SpaceError, WeightsError, DataError, SlotError."""
    published = find_baseline(request.name)
    values = dict(published.values)
    if request.weights is not None:
        if "architecture.weights" not in values:
            raise UsageError(f"--weights is for a recipe with a backbone, and {published.name} has none")
        values["architecture.weights"] = request.weights
    candidate = from_values(values)
    fetch_weights(candidate.architecture)
    machine, source = survey(request.device, slots=1), find_source(request.data)
    folder = request.folder / "baselines"
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / "lock", owned="the baselines"):
        # The split of a study with that seed: the same validation images as with `run --seed`.
        images = source.training()
        split = splits.standard_split(images, seed=request.seed)
        split.save(path := folder / f"split-{request.seed}.npz")
        name, seed = f"baseline {published.name}", seed_from(request.seed, published.name)
        job = Job(name=name, candidate=candidate, seed=seed, weights=folder / f"{published.name}.safetensors")
        with Pool(machine.settings(source, split=path), log=folder / "slots.log") as slots:
            length = baseline_length(published, request, images=len(split.training), speed=slots.measure(job))
            yield BaselinePlanned(published=published, machine=machine.title, data=source.title, length=length)
            limit = patience(length.seconds / length.epochs)
            for _, event in train(slots, [replace(job, epochs=length.epochs, images=length.images, patience=limit)]):
                if isinstance(event, Failed):
                    raise SlotError(f"{name} failed, the test set stays closed: {event.outcome}, {event.message}")
                if isinstance(event, EpochResult):
                    yield (last := event)
                elif isinstance(event, Finished):
                    seconds = event.seconds
        weights = saved_weights(job)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with (folder / "openings.jsonl").open("a", encoding="utf-8") as ledger:  # before the test images are read
            ledger.write(json.dumps({"time": now, "name": name, "weights_sha256": weights.sha256}) + "\n")
        reproduction = BaselineReproduction(
            published=published,
            candidate=candidate,
            cost=cost(candidate.architecture, images=images.shape),
            length=length,
            seed=request.seed,
            validation_accuracy=last.validation_accuracy,
            validation_images=min(len(split.validation), length.images or len(split.validation)),
            test=open_test(source, weights=[weights], architecture=candidate.architecture, machine=machine),
            seconds=seconds,
            official=source.official,
            provenance={**circumstances(machine, source=source), "split SHA-256": split.fingerprint},
        )
        text = json.dumps(reproduction.as_json(), indent=2, allow_nan=False) + "\n"
        write_whole(folder / f"{published.name}.json", text.encode())
        yield reproduction


def baseline_length(recipe: PublishedRecipe, request: BaselineRequest, *, images: int, speed: float) -> BaselineLength:
    """As many of the published epochs as fit the minutes, one at least; where one is too long, on fewer images."""
    epoch = work(images, whole=images) / speed  # seconds on the whole training part; the speed is in images per second
    if request.as_published or request.epochs is not None:
        epochs = request.epochs or recipe.epochs
        return BaselineLength(epochs=epochs, seconds=epochs * epoch)
    budget = 60 * request.minutes
    epochs = min(recipe.epochs, max(1, int(budget / epoch)))
    share = 1.0
    while epochs * epoch * share > budget and share > SMALLEST_SHARE:
        share /= 2
    part = int(images * share) if share < 1 else None
    return BaselineLength(epochs=epochs, images=part, budget_minutes=request.minutes, seconds=epochs * epoch * share)
