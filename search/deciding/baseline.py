"""A published recipe, trained again under the protocol of every study and tested once: reported against reproduced."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.candidate import Candidate, from_values
from search.data import split as splits
from search.data.sources import Source, find_source
from search.deciding.evidence import OpenedTest
from search.deciding.testing import open_test
from search.deciding.trainings import Retrained
from search.files import write_whole
from search.networks.build import fetch_weights
from search.networks.count import Cost, cost
from search.planning.catalogue import families
from search.planning.forecast import SMALLEST_SHARE, work
from search.searching.provenance import circumstances
from search.slots.job import Failed, Finished, Job, Unsaved, patience
from search.slots.machine import Machine, survey
from search.slots.pool import Slots
from search.slots.slot_state import SlotError, run_all
from search.training.result import EpochResult
from spaces.baselines import PublishedRecipe, find_baseline
from studies.lock import file_lock

FOLDER = "baselines"  # in the folder of runs
OPENINGS = "openings.jsonl"  # there: a line for each opening of the test set


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What a person asks for; the command line's options and their defaults."""

    name: str
    as_published: bool = False  # every published epoch, however long it takes
    minutes: float = 10.0  # of training, unless as published
    epochs: int | None = None  # as many as the minutes allow, unless given
    seed: int = 0
    folder: Path = Path("runs")
    data: str | None = None
    device: str | None = None


@dataclass(frozen=True, kw_only=True)
class Length:
    """What is trained, in the budget."""

    epochs: int
    images: int | None  # of an epoch; None is all of the training part
    minutes: float | None  # the budget; None where the epochs were asked for
    seconds: float  # forecast


@dataclass(frozen=True, kw_only=True)
class Budgeted:
    """What will be trained, where, and for how long."""

    published: PublishedRecipe
    machine: str
    data: str
    length: Length
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """Reported against reproduced."""

    published: PublishedRecipe
    candidate: Candidate
    cost: Cost
    length: Length
    seed: int
    validation_accuracy: float  # of the last epoch
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
        """Plain data."""
        published, interval = self.published, self.test.interval
        return {
            "baseline": published.name,
            "source": published.source,
            "reported": published.reported / 100,
            "reported_was_chosen_by": published.chosen_by,
            "reproduced": self.test.accuracy,
            "test_accuracy_with_views": self.test.accuracy_with_views,
            "interval": [interval.low, interval.high],
            "level": interval.level,
            "test_images": self.test.n,
            "verdict": self.verdict,
            "published_epochs": published.epochs,
            "epochs": self.length.epochs,
            "images": self.length.images,
            "budget_minutes": self.length.minutes,
            "seed": self.seed,
            "seconds": self.seconds,
            "validation_accuracy": self.validation_accuracy,
            "validation_images": self.validation_images,
            "parameters": self.cost.parameters,
            "flops": self.cost.flops,
            **self.candidate.as_dict(),
            "official": self.official,
            "provenance": self.provenance,
        }


Step = Budgeted | EpochResult | Reproduced


def rerun(question: Rerun) -> Iterator[Step]:
    """Train it, test it once, and keep the result. Raises SpaceError, WeightsError, DataError, SlotError."""
    published = find_baseline(question.name, families=families())
    candidate = from_values(published.values)
    counted = cost(candidate.architecture)
    fetch_weights(candidate.architecture)
    machine, source = survey(question.device, slots=1), find_source(question.data)
    folder = question.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / "lock", owned="the baselines"):
        split = _split(source, folder=folder, seed=question.seed)
        parts = splits.load(split)
        job = Job(
            name=f"baseline {published.name}",
            candidate=candidate,
            seed=int.from_bytes(hashlib.sha256(f"{question.seed}/{published.name}".encode()).digest()[:4]),
            weights=folder / f"{published.name}.safetensors",
        )
        with Slots(machine.settings(source, split=split), log=folder / "slots.log") as slots:
            speed = slots.measure(job)
            length = fit(published, question, images=len(parts.training), speed=speed)
            yield Budgeted(published=published, machine=machine.title, data=source.title, length=length, cost=counted)
            last, finished = yield from _train(slots, job, length)
        test = _test(source, job, candidate=candidate, machine=machine, folder=folder)
        found = Reproduced(
            published=published,
            candidate=candidate,
            cost=counted,
            length=length,
            seed=question.seed,
            validation_accuracy=last.validation_accuracy or 0.0,
            validation_images=min(len(parts.validation), length.images or len(parts.validation)),
            test=test,
            seconds=finished.seconds,
            official=source.official,
            provenance={**circumstances(machine, source=source), "split SHA-256": parts.fingerprint},
        )
        text = json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n"
        write_whole(folder / f"{published.name}.json", text.encode())
        yield found


def fit(published: PublishedRecipe, question: Rerun, *, images: int, speed: float) -> Length:
    """As many of the published epochs as fit the minutes, one at least; where one is too long, on fewer images.

    `images` are those of the training part, `speed` is in images per second.
    """
    epoch = work(images, whole=images) / speed
    if question.as_published or question.epochs is not None:
        epochs = question.epochs or published.epochs
        return Length(epochs=epochs, images=None, minutes=None, seconds=epochs * epoch)
    budget = 60 * question.minutes
    epochs = min(published.epochs, max(1, int(budget / epoch)))
    share = 1.0
    while epochs * epoch * share > budget and share > SMALLEST_SHARE:
        share /= 2
    return Length(
        epochs=epochs,
        images=int(images * share) if share < 1 else None,
        minutes=question.minutes,
        seconds=epochs * epoch * share,
    )


def _split(source: Source, *, folder: Path, seed: int) -> Path:
    """A study's split of that seed: the same validation images as with `run --seed`."""
    images = source.training()
    path = folder / f"split-{seed}.npz"
    splits.standard_split(images.labels, seed=seed).save(path)
    return path


def _train(slots: Slots, job: Job, length: Length) -> Generator[EpochResult, None, tuple[EpochResult, Finished]]:
    whole = replace(
        job,
        epochs=length.epochs,
        images=length.images,
        patience=patience(length.seconds / length.epochs),
    )
    last: EpochResult | None = None
    for _, event in run_all(slots, [whole]):
        match event:
            case EpochResult():
                last = event
                yield event
            case Finished():
                assert last is not None, "a training has an epoch"
                return last, event
            case Failed():
                raise SlotError(f"{job.name} failed, the test set stays closed: {event.outcome}, {event.message}")
            case Unsaved():
                raise SlotError(event.message)
    raise SlotError(f"{job.name} did not end")


def _test(source: Source, job: Job, *, candidate: Candidate, machine: Machine, folder: Path) -> OpenedTest:
    """Open the test set once, for the weights on disk, with a line in the ledger before."""
    assert job.weights is not None
    sha256 = hashlib.sha256(job.weights.read_bytes()).hexdigest()
    opening = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "name": job.name, "weights_sha256": sha256}
    with (folder / OPENINGS).open("a", encoding="utf-8") as ledger:
        ledger.write(json.dumps(opening) + "\n")
    row = Retrained(weights=job.weights, seed=job.seed, sha256=sha256)
    return open_test(source, retrained=[row], architecture=candidate.architecture, machine=machine)
