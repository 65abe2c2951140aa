"""Trains the pool of candidates with schedules of several lengths, so that strategies can be compared on their curves.

`CIFAR_SEARCH_DATA=... python -m search.benchmarking.record` writes pool.json after each training, and goes on from
there when it is started again.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import torch

from search.benchmarking.candidate_pool import (
    CANDIDATES,
    CURVES,
    IMAGES,
    Curve,
    CurveTable,
    entry_of,
    epoch_of,
    looks_of,
    pool_space,
)
from search.data.sources import Source, find_source
from search.data.split import standard_split
from search.data.store import Store, store
from search.networks.build import build
from search.training.precision import best_precision
from search.training.train import DivergedError, Training, train

CPU = torch.device("cpu")

Task = tuple[int, str]  # a candidate's number in the pool, and the schedule that it is trained with
Result = tuple[Task, Curve]


def record(
    path: Path, *, split: str, candidates: int, train_all: Callable[[Sequence[Task]], Iterable[Result]]
) -> Iterator[Task]:
    """Train what the file lacks, save each curve as it comes, in any order, and yield its task.

    Raises ValueError where the file is of another split or space.
    """
    fresh = CurveTable(split=split, space=pool_space().fingerprint, entries=())
    table = CurveTable.load(path) if path.exists() else fresh
    if (table.split, table.space) != (fresh.split, fresh.space):
        raise ValueError(f"{path} was recorded with another split or space: move it away or record as it was")
    pool = {number: entry_of(number) for number in range(candidates)} | {entry.number: entry for entry in table.entries}
    # Candidate by candidate, so that a part of the pool is soon usable.
    tasks = [
        (n, schedule) for n in range(candidates) for schedule in pool[n].schedules if schedule not in pool[n].curves
    ]
    for (number, schedule), curve in train_all(tasks):
        pool[number].curves[schedule] = curve
        begun = tuple(pool[number] for number in sorted(pool) if pool[number].curves)
        CurveTable(split=split, space=table.space, entries=begun).save(path)
        yield number, schedule


def train_one(task: Task, *, source: Source) -> Result:
    """Train a candidate with one schedule on one thread."""
    torch.set_num_threads(1)
    (number, schedule), data, begin = task, _data(source), time.process_time()
    entry, seed, precision = entry_of(number), 2 * number + schedule.endswith("B"), best_precision(CPU)
    length = entry.schedules[schedule]
    epoch = epoch_of(length)
    training = Training(
        build(entry.candidate.architecture, images=data.training.shape, seed=seed),
        recipe=entry.candidate.recipe,
        store=data,
        epochs=length // epoch,
        seed=seed,
        precision=precision,
        epoch_images=round(epoch * entry.unit_images),
        validated=tuple(look // epoch for look in looks_of(length)),
    )
    accuracies: list[float] = []
    with suppress(DivergedError):  # the curve ends there
        measured = (result.validation_accuracy for result in train(training) if result)
        accuracies.extend(round(accuracy, 4) for accuracy in measured if accuracy is not None)  # of 5,000 images: exact
    seconds = round(time.process_time() - begin, 1)
    return task, Curve(accuracy=tuple(accuracies), steps=training.step, precision=precision, seconds=seconds)


@cache
def _data(source: Source) -> Store:
    images = source.training()
    return store(images, split=standard_split(images, seed=0), device=CPU, most=IMAGES)


def main() -> None:
    """Record the pool."""
    source = find_source(None, download=False)
    split = standard_split(source.training(), seed=0)
    with multiprocessing.get_context("spawn").Pool() as processes:  # one for each core
        train_all = partial(processes.imap_unordered, partial(train_one, source=source))
        for number, schedule in record(CURVES, split=split.fingerprint, candidates=CANDIDATES, train_all=train_all):
            sys.stdout.write(f"candidate {number}, schedule {schedule}\n")


if __name__ == "__main__":
    main()
