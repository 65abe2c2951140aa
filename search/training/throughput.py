"""How fast a candidate trains on this machine, and how much of that is the network itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from search.candidate import Candidate
from search.data.cifar10 import Images
from search.data.store import Store, normalise
from search.networks.build import build
from search.training.optimizer import optimizer
from search.training.precision import Precision, autocast
from search.training.train import begin, fit_to, train

BATCHES = 16  # of one measured stretch
SECONDS = 2.0  # measured at least, after one stretch to warm up


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Training speed of the product's loop beside a bare loop, measured in turns."""

    images_per_second: float
    bare_images_per_second: float

    @property
    def share_of_bare_loop(self) -> float:
        return self.images_per_second / self.bare_images_per_second


def images_per_second(candidate: Candidate, *, store: Store, precision: Precision) -> float:
    """Training images per second of the real loop, without evaluation."""
    stretch = _stretch(candidate, store=store, precision=precision)
    stretch()
    images = seconds = 0.0
    while seconds < SECONDS:
        done, took = stretch()
        images, seconds = images + done, seconds + took
    return images / seconds


def compare(candidate: Candidate, *, store: Store, precision: Precision, rounds: int = 15) -> Throughput:
    """The real loop and a bare loop over ready tensors, in turns; medians, since machines are noisy."""
    real = _stretch(candidate, store=store, precision=precision)
    bare = _bare_stretch(candidate, store=store, precision=precision)
    pairs = [(real(), bare()) for _ in range(rounds + 2)][2:]
    ratios = sorted((a[0] / a[1]) / (b[0] / b[1]) for a, b in pairs)
    speed = sorted(done / took for _, (done, took) in pairs)[rounds // 2]
    return Throughput(images_per_second=speed * ratios[rounds // 2], bare_images_per_second=speed)


Stretch = Callable[[], tuple[int, float]]
"""Trains for a moment; returns images and seconds."""


def _stretch(candidate: Candidate, *, store: Store, precision: Precision) -> Stretch:
    few = _few(candidate, store)
    network = build(candidate.architecture, classes=len(store.training.classes), seed=0, device=store.device)
    training = begin(network, recipe=candidate.recipe, store=few, epochs=10**6, seed=0, precision=precision)
    results = filter(None, train(training))

    def stretch() -> tuple[int, float]:
        return len(few.training), next(results).seconds

    return stretch


def _bare_stretch(candidate: Candidate, *, store: Store, precision: Precision) -> Stretch:
    few = _few(candidate, store)
    network = build(candidate.architecture, classes=len(store.training.classes), seed=0, device=store.device)
    fit_to(network, few)
    optimise = optimizer(network, candidate.recipe)
    size = min(candidate.recipe.batch_size, len(few.training))
    batches = list(
        zip(
            (normalise(pixels, few.mean, few.std) for pixels in torch.split(few.training.pixels, size)),
            torch.split(few.training.labels, size),
            strict=True,
        )
    )

    def stretch() -> tuple[int, float]:
        start = time.perf_counter()
        for images, labels in batches:
            with autocast(few.device, precision):
                logits = network(images).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=candidate.recipe.label_smoothing)
            optimise.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimise.step()
        loss.item()  # waits for a GPU
        return len(few.training), time.perf_counter() - start

    return stretch


def _few(candidate: Candidate, store: Store) -> Store:
    """A store of a few batches, the first of the training part."""
    size = min(candidate.recipe.batch_size, len(store.training))
    count = min(BATCHES * size, len(store.training) // size * size)
    training = store.training
    few = Images(pixels=training.pixels[:count], labels=training.labels[:count], classes=training.classes)
    return replace(store, training=few, validation=None)
