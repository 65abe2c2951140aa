"""How fast a candidate trains on this machine, and how much of that is the network itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from statistics import median

import torch

from search.candidate import Candidate, Recipe
from search.data.augmentation import Targets
from search.data.cifar10 import Images
from search.data.store import Store, normalise
from search.networks.build import build
from search.training.evaluate import evaluate
from search.training.optimizer import optimizer
from search.training.precision import Precision, autocast
from search.training.step import cross_entropy, descend
from search.training.train import Training, begin, fit_to, train

MOMENT = 0.25  # seconds of one measured stretch, or longer: a whole step
SECONDS = 2.0  # measured at least for a forecast, after one stretch to warm up
ROUNDS = 30  # of stretches in turn
FEWEST_ROUNDS = 3  # where a slow network would take longer than
PATIENCE = 60.0  # seconds for all rounds
WARMUP = 2  # rounds before them: the first steps choose kernels and grow the memory
READY = 16  # batches that a bare loop has at hand: more than a CPU's cache holds
EVALUATIONS = 3  # of the whole validation part, after one to warm up


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Training speed of the product's loop beside a bare loop and its own augmentation, measured in turns."""

    images_per_second: float
    bare_images_per_second: float  # the same steps over ready tensors
    augmentation_images_per_second: float  # changing and normalising, without a network
    evaluation_images_per_second: float

    @property
    def share_of_bare_loop(self) -> float:
        return self.images_per_second / self.bare_images_per_second

    @property
    def augmentation_share(self) -> float:
        """Of the time in training."""
        return self.images_per_second / self.augmentation_images_per_second


Step = Callable[[], int]
"""Works on one batch and returns its images; a GPU may still be at it."""

Stretch = Callable[[], tuple[int, float]]
"""Works for a moment; returns images and seconds."""


def images_per_second(candidate: Candidate, *, store: Store, precision: Precision) -> float:
    """Training images per second of the real loop, without evaluation, on pictures of full size."""
    trains = stretch(training_step(begun(candidate, store=store, precision=precision)), device=store.device)
    trains()
    images = seconds = 0.0
    while seconds < SECONDS:
        done, took = trains()
        images, seconds = images + done, seconds + took
    return images / seconds


def compare(candidate: Candidate, *, store: Store, precision: Precision, rounds: int = ROUNDS) -> Throughput:
    """The real loop, a bare loop over ready tensors and the augmentation alone, in turns; then evaluations.

    All train on every image that they draw: a proxy's choice is no part of the network's speed.
    """
    candidate = replace(candidate, recipe=replace(candidate.recipe, keep=1.0))
    training = begun(candidate, store=store, precision=precision)
    steps = training_step(training), _bare_step(candidate, store=store, precision=precision), _changing_step(training)
    real, bare, augmentation = in_turns(*(stretch(step, device=store.device) for step in steps), rounds=rounds)
    return Throughput(
        images_per_second=real,
        bare_images_per_second=bare,
        augmentation_images_per_second=augmentation,
        evaluation_images_per_second=_evaluation(training, store),
    )


def in_turns(*stretches: Stretch, rounds: int = ROUNDS) -> tuple[float, ...]:
    """Images per second of each: the first one's median, times the median of a round's ratios to it.

    Other work slows a noisy machine for seconds at a time, so that only speeds of one round can be held against
    each other. Every second round runs backwards, so that what runs before it is not always the same.
    """
    places = range(len(stretches))
    turns: list[dict[int, float]] = []
    start = time.perf_counter()
    while len(turns) < WARMUP + rounds:
        if len(turns) >= WARMUP + FEWEST_ROUNDS and time.perf_counter() - start > PATIENCE:
            break
        speeds = {}
        for place in reversed(places) if len(turns) % 2 else places:
            images, seconds = stretches[place]()
            speeds[place] = images / seconds
        turns.append(speeds)
    turns = turns[WARMUP:]
    first = median(turn[0] for turn in turns)
    return tuple(first * median(turn[place] / turn[0] for turn in turns) for place in places)


def stretch(step: Step, *, device: torch.device) -> Stretch:
    """So many steps as a moment holds, one at least, until the device is done with them."""

    def work() -> tuple[int, float]:
        images, start = 0, time.perf_counter()
        while not images or time.perf_counter() - start < MOMENT:
            images += step()
        wait(device)
        return images, time.perf_counter() - start

    return work


def wait(device: torch.device) -> None:
    """Until the device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def begun(candidate: Candidate, *, store: Store, precision: Precision) -> Training:
    """A training without validation and without end, in the phase that is its main one.

    An endless one would never come out of the first: smaller pictures, or a backbone at rest.
    """
    recipe = replace(candidate.recipe, resolution_until=0.0, head_first=0.0)
    network = build(candidate.architecture, classes=len(store.training.classes), seed=0, device=store.device)
    alone = replace(store, validation=None)
    return begin(network, recipe=recipe, store=alone, epochs=10**6, seed=0, precision=precision)


def training_step(training: Training) -> Step:
    """The product's own."""
    results = train(training)

    def step() -> int:
        return training.drawn if next(results) is None else 0

    return step


def _bare_step(candidate: Candidate, *, store: Store, precision: Precision) -> Step:
    network = build(candidate.architecture, classes=len(store.training.classes), seed=0, device=store.device)
    fit_to(network, store)
    network.train()
    recipe, optimise = candidate.recipe, optimizer(network, candidate.recipe)
    size, few = first_batches(store.training, recipe, most=READY)
    ready = zip(
        [normalise(pixels, store.mean, store.std) for pixels in torch.split(few.pixels, size)],
        map(Targets, torch.split(few.labels, size)),
        strict=True,
    )
    batches = cycle(ready)

    def step() -> int:
        images, targets = next(batches)
        with autocast(store.device, precision):
            logits = network(images).float()
        loss = cross_entropy(logits, targets, smoothing=recipe.label_smoothing)
        descend(network, loss, optimizer=optimise, recipe=recipe)
        return size

    return step


def first_batches(images: Images, recipe: Recipe, *, most: int) -> tuple[int, Images]:
    """Images of a batch, and the first of these images: whole batches, so many at most."""
    size = min(recipe.batch_size, len(images))
    count = min(most * size, len(images) // size * size)
    return size, Images(pixels=images.pixels[:count], labels=images.labels[:count], classes=images.classes)


def _changing_step(training: Training) -> Step:
    store, device = training.store, training.store.device
    order = torch.randperm(len(store.training), device=device)[: training.steps * training.drawn]
    batches, generator = cycle(torch.split(order, training.drawn)), torch.Generator(device).manual_seed(0)

    def step() -> int:
        pixels, _ = training.augmentation.batch(training.prepared, next(batches), epoch=0, generator=generator)
        normalise(pixels, store.mean, store.std)
        return training.drawn

    return step


def _evaluation(training: Training, store: Store) -> float:
    """Images per second of whole evaluations."""
    images = store.validation or store.training
    answer = partial(evaluate, training.network, images, store=store, precision=training.precision)
    took = []
    for _ in range(1 + EVALUATIONS):
        start = time.perf_counter()
        answer()
        took.append(time.perf_counter() - start)
    return len(images) / median(took[1:])
