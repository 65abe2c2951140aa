"""Trains a published recipe again under the protocol of every study and tests it once: reported against reproduced."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from search.candidate import Candidate, from_values
from search.data import split as splits
from search.data.sources import find_source
from search.deciding.request import BaselineRequest
from search.deciding.statistics import LEVEL
from search.deciding.testing import OpenedTest, sha256_of_test, tested
from search.deciding.trainings import epochs_file, kept_epochs, saved_weights, seed_from, train
from search.errors import UsageError
from search.files import write_whole
from search.networks.build import fetch_weights
from search.networks.count import Cost, cost
from search.pictures import Progress
from search.planning.forecast import SMALLEST_SHARE, work
from search.searching.progress import Resumed
from search.searching.provenance import circumstances
from search.slots.job import Failed, Finished, Job, patience
from search.slots.machine import survey
from search.slots.pool import Pool
from search.slots.signals import InterruptedSearch, StopFlag, stop_flag
from search.slots.slot_state import SlotError
from search.training.result import EpochResult
from spaces.baselines import PublishedRecipe, find_baseline
from studies.ledger import Opening, openings, record
from studies.lock import file_lock
from studies.storage import opened, storage_url


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
    done: int  # epochs, by earlier starts
    openings: tuple[Opening, ...]  # of this test set, before


@dataclass(frozen=True, kw_only=True)
class BaselineUnfinished:
    """The time of this start is over; what was done is kept, and the test set stays closed."""

    baseline: str
    done: int  # epochs
    epochs: int

    def as_json(self) -> dict[str, Any]:
        """What `baseline --json` prints."""
        return {"baseline": self.baseline, "epochs_done": self.done, "epochs": self.epochs}


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
    openings: tuple[Opening, ...]  # of this test set, by whatever this storage knows
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
            "openings": [asdict(opening) for opening in self.openings],
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


BaselineStep = BaselinePlanned | Resumed | EpochResult | BaselineUnfinished | BaselineReproduction


def reproduce_baseline(request: BaselineRequest, *, progress: Progress | None = None) -> Iterator[BaselineStep]:
    """Train it, test it once, and keep the result; whatever cuts it off, an equal request goes on where it was.

    Raises SpaceError, WeightsError, DataError, StorageError, SlotError, and InterruptedSearch at a signal before the
    test.
    """
    deadline = time.monotonic() + 60 * ((request.minutes if request.budget is None else None) or math.inf)
    published = find_baseline(request.name)
    candidate = _candidate(published, weights=request.weights)
    fetch_weights(candidate.architecture)
    machine, source = survey(request.device, slots=1), find_source(request.data, progress=progress)
    folder = request.folder / "baselines"
    folder.mkdir(parents=True, exist_ok=True)
    url = storage_url(request.folder, request.storage)
    with file_lock(folder / "lock", owned="the baselines"), stop_flag() as flag, opened(url) as storage:
        # The split of a study with that seed: the same validation images as with `run --seed`.
        images = source.training()
        split = splits.standard_split(images, seed=request.seed)
        split.save(path := folder / f"split-{request.seed}.npz")
        sha256 = sha256_of_test(source)
        known = partial(openings, url, test=sha256, training=images.fingerprint)
        job = _job(published, candidate, request, data=f"{images.fingerprint} {split.fingerprint}")
        with Pool(machine.settings(source, split=path), log=folder / "slots.log") as slots:
            speed = slots.measure(job, interrupted=lambda: flag.signal is not None)
            if flag.signal is not None:
                raise InterruptedSearch(flag.signal)
            length = _kept_length(job, published, request, images=len(split.training), speed=speed)
            done, where = len(kept_epochs(job)), {"machine": machine.title, "data": source.title}
            yield BaselinePlanned(published=published, length=length, done=done, openings=known(), **where)
            limit = patience(length.seconds / length.epochs)
            job = replace(job, epochs=length.epochs, images=length.images, patience=limit)
            finished = yield from _train(slots, job, flag=flag, deadline=deadline)
        trained = kept_epochs(job)
        if not finished:
            yield BaselineUnfinished(baseline=published.name, done=len(trained), epochs=length.epochs)
            return
        weights = saved_weights(job)
        kept, line = epochs_file(job).with_name("tested.json"), partial(Opening, by=job.name, data_sha256=sha256)
        ask = partial(tested, source, weights=[weights], others=(), machine=machine)
        test = ask(kept=kept, enter=lambda hashes: record(line(weights_sha256=hashes), storage=storage))
        reproduction = BaselineReproduction(
            published=published,
            candidate=candidate,
            cost=cost(candidate.architecture, images=images.shape),
            length=length,
            seed=request.seed,
            validation_accuracy=trained[-1].validation_accuracy,
            validation_images=len(split.validation),
            test=test,
            openings=known(),
            seconds=sum(result.seconds for result in trained),
            official=source.official,
            provenance={**circumstances(machine, source=source), "split SHA-256": split.fingerprint},
        )
        text = json.dumps(reproduction.as_json(), indent=2, allow_nan=False) + "\n"
        write_whole(folder / f"{published.name}.json", text.encode())
        shutil.rmtree(epochs_file(job).parent, ignore_errors=True)
        yield reproduction


def _candidate(recipe: PublishedRecipe, *, weights: str | None) -> Candidate:
    """With a file of weights in place of ImageNet's, where one is given."""
    if weights is None:
        return from_values(recipe.values)
    if "architecture.weights" not in recipe.values:
        raise UsageError(f"--weights is for a recipe with a backbone, and {recipe.name} has none")
    return from_values({**recipe.values, "architecture.weights": weights})


def _train(slots: Pool, job: Job, *, flag: StopFlag, deadline: float) -> Generator[Resumed | EpochResult, None, bool]:
    """Train until the deadline; returns whether it is done."""
    finished = False
    for _, event in train(slots, [job], flag=flag, deadline=deadline):
        if isinstance(event, Failed):
            raise SlotError(f"{job.name} failed, the test set stays closed: {event.outcome}, {event.message}")
        if isinstance(event, Finished):
            finished = True
        else:
            yield event
    return finished


def _job(recipe: PublishedRecipe, candidate: Candidate, request: BaselineRequest, *, data: str) -> Job:
    """The training, still without a length; each recipe, length, seed and data set has checkpoints of its own."""
    folder = request.folder / "baselines"
    length = f"{request.epochs or recipe.epochs}-epochs" if request.budget is None else f"{request.budget:g}-minutes"
    digest = hashlib.sha256(f"{candidate.as_dict()} {request.seed} {data}".encode()).hexdigest()
    return Job(
        name=f"baseline {recipe.name}",
        candidate=candidate,
        seed=seed_from(request.seed, recipe.name),
        weights=folder / f"{recipe.name}.safetensors",
        checkpoints=folder / f"{recipe.name}-{length}-{digest[:8]}",
    )


def _kept_length(
    job: Job, recipe: PublishedRecipe, request: BaselineRequest, *, images: int, speed: float
) -> BaselineLength:
    """What the first start planned, whatever the speed is now."""
    file = epochs_file(job).with_name("length.json")
    with suppress(OSError, ValueError, TypeError):
        kept = BaselineLength(**json.loads(file.read_text(encoding="utf-8")))
        part = kept.images or images
        return replace(kept, seconds=kept.epochs * work(part, whole=part) / speed)
    length = baseline_length(recipe, request, images=images, speed=speed)
    file.parent.mkdir(exist_ok=True)
    write_whole(file, json.dumps(asdict(length)).encode())
    return length


def baseline_length(recipe: PublishedRecipe, request: BaselineRequest, *, images: int, speed: float) -> BaselineLength:
    """As many of the published epochs as fit the minutes, one at least; where one is too long, on fewer images."""
    epoch = work(images, whole=images) / speed  # seconds on the whole training part; the speed is in images per second
    if request.budget is None:
        epochs = request.epochs or recipe.epochs
        return BaselineLength(epochs=epochs, seconds=epochs * epoch)
    budget = 60 * request.budget
    epochs = min(recipe.epochs, max(1, int(budget / epoch)))
    share = 1.0
    while epochs * epoch * share > budget and share > SMALLEST_SHARE:
        share /= 2
    part = int(images * share) if share < 1 else None
    return BaselineLength(epochs=epochs, images=part, budget_minutes=request.budget, seconds=epochs * epoch * share)
