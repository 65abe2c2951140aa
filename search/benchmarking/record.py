"""Trains a pool of candidates with schedules of several lengths, so that strategies can be compared on their curves.

`CIFAR_SEARCH_DATA=... python -m search.benchmarking.record --jobs 2` writes curves.json after each training, and
goes on from there when it is started again.
"""

from __future__ import annotations

import argparse
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

from search.benchmarking import curves
from search.benchmarking.curves import CURVES, SCHEDULES, SPACE, Curve, CurveTable, RecordedCandidate, RecordedSetting
from search.candidate import from_values
from search.data.sources import Source, find_source
from search.data.split import standard_split
from search.data.store import Store, store
from search.networks.build import build
from search.networks.count import cost
from search.planning.catalogue import load as load_space
from search.training.precision import best_precision
from search.training.result import EpochResult
from search.training.train import DivergedError, Training, train

SPLIT_SEED = 0
CPU = torch.device("cpu")

RecordingTask = tuple[int, str]
"""A candidate's number in the pool, and the schedule that it is trained with."""


def record(
    path: Path,
    *,
    setting: RecordedSetting,
    candidates: int,
    train_all: Callable[[Sequence[RecordingTask]], Iterable[tuple[RecordingTask, Curve]]],
) -> Iterator[RecordingTask]:
    """Train what the file does not have yet, keep each curve as it comes, in any order, and yield its task.

    Raises ValueError where the file is of another setting.
    """
    table = curves.load(path) if path.exists() else CurveTable(setting=setting, candidates=())
    if table.setting != setting:
        raise ValueError(f"{path} was recorded with {table.setting}, not {setting}: move it away or record as it was")
    pool = {number: candidate_of(number) for number in range(candidates)}
    pool |= {candidate.candidate: candidate for candidate in table.candidates}
    # Candidate by candidate, so that a part of the pool is soon usable.
    tasks = [task for task in product(range(candidates), SCHEDULES) if task[1] not in pool[task[0]].curves]
    for (number, schedule), curve in train_all(tasks):
        pool[number] = replace(pool[number], curves={**pool[number].curves, schedule: curve})
        begun = tuple(pool[number] for number in sorted(pool) if pool[number].curves)
        CurveTable(setting=setting, candidates=begun).save(path)
        yield number, schedule


def candidate_of(number: int) -> RecordedCandidate:
    """The candidate of this number, always the same, without curves."""
    values = load_space(str(SPACE)).sample(Random(number))  # noqa: S311 no secret is drawn
    return RecordedCandidate(candidate=number, values=values, flops=cost(from_values(values).architecture).flops)


def train_one(task: RecordingTask, *, source: Source, images: int) -> tuple[RecordingTask, Curve]:
    """Train a candidate with one schedule on one thread; a curve shorter than its schedule is of one that diverged."""
    torch.set_num_threads(1)
    number, schedule = task
    candidate, data = from_values(candidate_of(number).values), _data(source, images)
    seed, precision = 2 * number + (schedule[-1] == "B"), best_precision(CPU)
    network, epochs = build(candidate.architecture, seed=seed), curves.length(schedule)
    training = Training(network, recipe=candidate.recipe, store=data, epochs=epochs, seed=seed, precision=precision)
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
def _data(source: Source, images: int) -> Store:
    """Part of the training images, but all that validate: their number sets the noise of a score."""
    loaded = source.training()
    parts = standard_split(loaded.labels, seed=SPLIT_SEED)
    whole = loaded.take(torch.from_numpy(parts.validation))
    return replace(store(loaded, split=parts, device=CPU, most=images), validation=whole)


def main() -> None:
    """Record the pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=50, help="size of the pool")
    parser.add_argument("--images", type=int, default=4000, help="training images, equally many of each class")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a process of one thread each")
    parser.add_argument("--out", type=Path, default=CURVES, help="the file to begin or to go on with")
    given = parser.parse_args()
    space, source = load_space(str(SPACE)), find_source(None, download=False)
    parts = standard_split(source.training().labels, seed=SPLIT_SEED)
    setting = RecordedSetting(
        images=given.images,
        validation=len(parts.validation),
        split=parts.fingerprint,
        space=space.fingerprint,
        precision=best_precision(CPU),
    )
    work = partial(train_one, source=source, images=given.images)
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for number, schedule in record(
            given.out,
            setting=setting,
            candidates=given.candidates,
            train_all=lambda tasks: pool.imap_unordered(work, tasks),
        ):
            sys.stdout.write(f"candidate {number} of {given.candidates}: {schedule} is done\n")


if __name__ == "__main__":
    main()
