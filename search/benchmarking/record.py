"""Trains a pool of candidates with schedules of several lengths, so that strategies can be compared on their curves.

`CIFAR_SEARCH_DATA=... python -m search.benchmarking.record` writes curves.json after each training, and goes on from
there when it is started again.
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from random import Random

import torch

from search.benchmarking.candidate_pool import CURVES, SCHEDULES, SPACE, Curve, CurveTable, PoolEntry, PoolSetting
from search.candidate import from_values
from search.data.sources import Source, find_source
from search.data.split import standard_split
from search.data.store import Store, store
from search.description import CIFAR10
from search.networks.build import build
from search.networks.count import cost
from search.planning.catalogue import load
from search.training.precision import best_precision
from search.training.result import EpochResult
from search.training.train import DivergedError, Training, train

CANDIDATES = 50  # size of the pool
IMAGES = 4000  # for training, equally many of each class
CPU = torch.device("cpu")

Task = tuple[int, str]  # a candidate's number in the pool, and the schedule that it is trained with
Result = tuple[Task, Curve]


def record(
    path: Path, *, setting: PoolSetting, candidates: int, train_all: Callable[[Sequence[Task]], Iterable[Result]]
) -> Iterator[Task]:
    """Train what the file lacks, save each curve as it comes, in any order, and yield its task.

    Raises ValueError where the file is of another setting.
    """
    table = CurveTable.load(path) if path.exists() else CurveTable(setting=setting, candidates=())
    if table.setting != setting:
        raise ValueError(f"{path} was recorded with {table.setting}, not {setting}: move it away or record as it was")
    pool = {number: candidate_of(number) for number in range(candidates)}
    pool |= {candidate.candidate: candidate for candidate in table.candidates}
    # Candidate by candidate, so that a part of the pool is soon usable.
    tasks = [task for task in product(range(candidates), SCHEDULES) if task[1] not in pool[task[0]].curves]
    for (number, schedule), curve in train_all(tasks):
        pool[number].curves[schedule] = curve
        begun = tuple(pool[number] for number in sorted(pool) if pool[number].curves)
        CurveTable(setting=setting, candidates=begun).save(path)
        yield number, schedule


def candidate_of(number: int) -> PoolEntry:
    """The candidate of this number, always the same, without curves."""
    values = load(str(SPACE)).sample(Random(number))  # noqa: S311 no secret is drawn
    return PoolEntry(
        candidate=number, values=values, flops=cost(from_values(values).architecture, images=CIFAR10).flops
    )


def train_one(task: Task, *, source: Source) -> Result:
    """Train a candidate with one schedule on one thread."""
    torch.set_num_threads(1)
    number, schedule = task
    candidate, seed = from_values(candidate_of(number).values), 2 * number + schedule.endswith("B")
    recipe, data, epochs, precision = candidate.recipe, _data(source), SCHEDULES[schedule], best_precision(CPU)
    network = build(candidate.architecture, images=data.training.shape, seed=seed)
    training = Training(network, recipe=recipe, store=data, epochs=epochs, seed=seed, precision=precision)
    results: list[EpochResult] = []
    with suppress(DivergedError):
        for result in train(training):
            results += [result] if result else []
    return task, Curve(
        accuracy=tuple(round(result.validation_accuracy or 0.0, 4) for result in results),  # of 5,000 images: exact
        loss=tuple(round(result.train_loss, 4) for result in results),
        steps=training.step,
        seconds=round(training.seconds, 1),
    )


@cache
def _data(source: Source) -> Store:
    """Part of the training images, but all validation images: their number sets the noise of a score."""
    images = source.training()
    split = standard_split(images, seed=0)
    validation = images.take(torch.from_numpy(split.validation))
    return replace(store(images, split=split, device=CPU, most=IMAGES), validation=validation)


def main() -> None:
    """Record the pool."""
    source, space = find_source(None, download=False), load(str(SPACE))
    split = standard_split(source.training(), seed=0)
    setting = PoolSetting(IMAGES, len(split.validation), split.fingerprint, space.fingerprint, best_precision(CPU))
    with multiprocessing.get_context("spawn").Pool() as processes:  # one for each core
        train_all = partial(processes.imap_unordered, partial(train_one, source=source))
        for number, schedule in record(CURVES, setting=setting, candidates=CANDIDATES, train_all=train_all):
            sys.stdout.write(f"candidate {number} of {CANDIDATES}: {schedule} is done\n")


if __name__ == "__main__":
    main()
