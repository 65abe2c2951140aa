"""How fast a candidate trains on this machine, and how much of that is the network itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from statistics import median

import torch
from torch import Tensor

from search.augmentation.batch import Targets
from search.candidate import Candidate
from search.data.store import Store, normalise
from search.networks.build import build
from search.training.evaluate import evaluate
from search.training.precision import Precision
from search.training.train import Training, descend, train

MOMENT = 0.25  # seconds that one timing takes at least
SECONDS = 2.0  # likewise, for a forecast
IN_TURNS = 25.0  # seconds that timings in turn take at least
FEWEST_ROUNDS = 5  # where slow steps need longer than that
WARMUP = 2  # rounds before them: the first steps choose kernels and grow the memory
READY = 16  # batches that a bare loop has at hand: more than a CPU's cache holds
EVALUATIONS = 3  # of the whole validation part, after one to warm up

TimedStep = Callable[[], int]
"""Works on one batch and returns its number of images; a GPU may still be at it."""


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Training speed of the product's loop beside a bare loop and its own augmentation, measured in turns."""

    images_per_second: float
    bare_images_per_second: float  # the same steps over ready tensors
    share_of_bare_loop: float
    augmentation_share: float  # of the time in training: changing and normalising, without a network
    evaluation_images_per_second: float


def images_per_second(candidate: Candidate, *, store: Store, precision: Precision) -> float:
    """Training images per second of the real loop, without evaluation."""
    step = training_step(endless(candidate, store=store, precision=precision))
    speed(step, device=store.device)  # warms up
    return speed(step, device=store.device, seconds=SECONDS)


def compare(candidate: Candidate, *, store: Store, precision: Precision) -> Throughput:
    """The real loop, a bare loop over ready tensors and the augmentation alone, in turns; then evaluations."""
    training, other = (endless(candidate, store=store, precision=precision) for _ in range(2))
    steps = training_step(training), _bare_step(other), _augmenting_step(training)
    real, bare, augmenting = in_turns(*steps, device=store.device)
    evaluated = store.validation or store.training
    evaluation = partial(evaluate, training.network, evaluated, store=store, precision=precision)
    evaluations = [speed(lambda: evaluation().n, device=store.device, seconds=0) for _ in range(1 + EVALUATIONS)]
    return Throughput(
        images_per_second=real,
        bare_images_per_second=bare,
        share_of_bare_loop=real / bare,
        augmentation_share=real / augmenting,
        evaluation_images_per_second=median(evaluations[1:]),
    )


def in_turns(*steps: TimedStep, device: torch.device) -> tuple[float, ...]:
    """Images per second of each: the first one's median, times the median of a round's ratios to it.

    Other work slows a machine for seconds at a time: only speeds of one round can be compared. Every second one runs
    backwards, so that what runs before a step is not always the same.
    """
    order, start, rounds = range(len(steps)), time.perf_counter(), list[dict[int, float]]()
    while len(rounds) < WARMUP + FEWEST_ROUNDS or time.perf_counter() - start < IN_TURNS:
        turns = order[::-1] if len(rounds) % 2 else order
        rounds.append({index: speed(steps[index], device=device) for index in turns})
    rounds = rounds[WARMUP:]
    first = median(speeds[0] for speeds in rounds)
    return tuple(first * median(speeds[index] / speeds[0] for speeds in rounds) for index in order)


def speed(step: TimedStep, *, device: torch.device, seconds: float = MOMENT) -> float:
    """Images per second of so many steps as fit in these seconds, one at least, until the device is done with them."""
    images, start = 0, time.perf_counter()
    while not images or time.perf_counter() - start < seconds:
        images += step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return images / (time.perf_counter() - start)


def endless(candidate: Candidate, *, store: Store, precision: Precision) -> Training:
    """A training without validation and without end, in which a pretrained backbone is trained from the first step."""
    recipe, alone = replace(candidate.recipe, head_first=0.0), replace(store, validation=None)
    network = build(candidate.architecture, images=store.training.shape, seed=0, device=store.device)
    return Training(network, recipe=recipe, store=alone, epochs=10**6, seed=0, precision=precision)


def training_step(training: Training) -> TimedStep:
    """The product's own step."""
    results = train(training)
    return lambda: training.batch_size if next(results) is None else 0


def batches(training: Training, *, most: int | None = None) -> list[Tensor]:
    """Indices of the training images in whole batches, in random order; so many batches at most."""
    order = torch.randperm(len(training.store.training), device=training.store.device)
    return list(torch.split(order[: training.steps * training.batch_size], training.batch_size))[:most]


def _bare_step(training: Training) -> TimedStep:
    store = training.store
    images, parts = store.training, batches(training, most=READY)
    ready = cycle([(normalise(images.at(part), store.mean, store.std), Targets(images.labels[part])) for part in parts])
    return lambda: len(descend(training, *next(ready))[0])


def _augmenting_step(training: Training) -> TimedStep:
    store, generator = training.store, torch.Generator(training.store.device).manual_seed(0)
    batch, shuffled = partial(training.augmentation.batch, epoch=0, generator=generator), cycle(batches(training))
    return lambda: len(normalise(batch(next(shuffled))[0], store.mean, store.std))
