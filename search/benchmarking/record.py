"""Trains a pool of candidates with schedules of several lengths, so that strategies can be compared on their curves.

`CIFAR_SEARCH_DATA=... python search/benchmarking/record.py --jobs 2` writes curves.json after each training, and
goes on from there when it is started again.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from random import Random

import torch
from rich.console import Console

from search.benchmarking.curves import CURVES, SCHEDULES, SPACE, Curve, Entry, Setting, Table, length, load
from search.candidate import from_values
from search.data.sources import Source, find_source
from search.data.split import standard_split as usual
from search.data.store import Store, store
from search.networks.build import build
from search.networks.count import cost
from search.planning.catalogue import load as load_space
from search.training.precision import best_precision
from search.training.train import DivergedError, begin, train
from spaces import Space
from spaces.parameter import Value

SPLIT_SEED = 0
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training: plain data for a process."""

    candidate: int  # its number in the pool
    schedule: str
    values: dict[str, Value]
    source: Source
    images: int  # that train

    @property
    def seed(self) -> int:
        return 2 * self.candidate + (self.schedule[-1] == "B")


Work = Callable[[Sequence[Task]], Iterable[tuple[Task, Curve]]]
"""Trains tasks and gives their curves as they are done, in any order."""


def record(
    path: Path, *, space: Space, source: Source, setting: Setting, candidates: int, work: Work
) -> Iterator[Task]:
    """Train what the file does not have yet, keep each curve as it comes, and yield its task.

    Raises ValueError where the file is of another setting.
    """
    table = load(path) if path.exists() else Table(setting=setting, entries={})
    if table.setting != setting:
        raise ValueError(f"{path} was recorded with {table.setting}, not {setting}: move it away or record as it was")
    for task, curve in work(missing(table, space=space, source=source, candidates=candidates)):
        entry = table.entries.get(task.candidate) or Entry(values=task.values, flops=flops(task.values))
        entry = replace(entry, curves={**entry.curves, task.schedule: curve})
        table = replace(table, entries={**table.entries, task.candidate: entry})
        table.save(path)
        yield task


def missing(table: Table, *, space: Space, source: Source, candidates: int) -> list[Task]:
    """The trainings that the table lacks, candidate by candidate, so that a part of the pool is soon usable."""
    return [
        Task(
            candidate=number,
            schedule=schedule,
            values=space.sample(Random(number)),  # noqa: S311 no secret is drawn
            source=source,
            images=table.setting.images,
        )
        for number, schedule in product(range(candidates), SCHEDULES)
        if number not in table.entries or schedule not in table.entries[number].curves
    ]


def flops(values: dict[str, Value]) -> int:
    """Of one image's forward pass."""
    return cost(from_values(values).architecture).flops


def train_one(task: Task) -> tuple[Task, Curve]:
    """Train a candidate with one schedule on one thread; a training that diverges ends there."""
    torch.set_num_threads(1)
    candidate, data = from_values(task.values), _data(task.source, task.images)
    network = build(candidate.architecture, seed=task.seed)
    training = begin(
        network,
        recipe=candidate.recipe,
        store=data,
        epochs=length(task.schedule),
        seed=task.seed,
        precision=best_precision(CPU),
    )
    accuracy: list[float] = []
    loss: list[float] = []
    try:
        for result in train(training):
            if result is not None:
                assert result.validation_accuracy is not None
                accuracy.append(round(result.validation_accuracy, 4))  # of 5,000 images: exact
                loss.append(round(result.train_loss, 4))
    except DivergedError:
        pass  # a curve that is shorter than its schedule says so
    seconds = round(training.seconds, 1)
    return task, Curve(accuracy=tuple(accuracy), loss=tuple(loss), steps=training.step, seconds=seconds)


@cache
def _data(source: Source, images: int) -> Store:
    """Part of the training images, but all that validate: their number sets the noise of a score."""
    loaded = source.training()
    parts = usual(loaded.labels, seed=SPLIT_SEED)
    whole = loaded.take(torch.from_numpy(parts.validation))
    return replace(store(loaded, split=parts, device=CPU, most=images), validation=whole)


def setting_of(space: Space, *, source: Source, images: int) -> Setting:
    """What the curves have in common."""
    parts = usual(source.training().labels, seed=SPLIT_SEED)
    return Setting(
        images=images,
        validation=len(parts.validation),
        split=parts.fingerprint,
        space=space.fingerprint,
        precision=best_precision(CPU),
    )


def main() -> None:
    """Record the pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=50, help="size of the pool")
    parser.add_argument("--images", type=int, default=4000, help="training images, equally many of each class")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a process of one thread each")
    parser.add_argument("--out", type=Path, default=CURVES, help="the file to begin or to go on with")
    given = parser.parse_args()
    space, source, console = load_space(str(SPACE)), find_source(None, download=False), Console()
    setting = setting_of(space, source=source, images=given.images)
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        done = record(
            given.out,
            space=space,
            source=source,
            setting=setting,
            candidates=given.candidates,
            work=lambda tasks: pool.imap_unordered(train_one, tasks),
        )
        for task in done:
            console.print(f"candidate {task.candidate} of {given.candidates}: {task.schedule} is done")


if __name__ == "__main__":
    main()
