"""One training, as a generator of epoch results."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.candidate import Recipe
from search.data.augmentation import Augmentation, Targets
from search.data.store import Store, normalise
from search.networks.blocks import Whitening
from search.training.averaging import EVERY, Averaging
from search.training.evaluate import evaluate
from search.training.optimizer import optimizer, schedule
from search.training.precision import Precision, autocast

WHITENING_IMAGES = 5000  # as many as arXiv 2404.00498 takes
FINITE_EVERY = 20  # steps between two looks at the loss: each look makes a GPU wait


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """What one epoch gave; accuracies are shares of 1, losses are mean cross entropies."""

    epoch: int  # from 1
    epochs: int
    train_loss: float  # on augmented images, label smoothing included
    train_accuracy: float
    validation_loss: float | None  # None where no images are kept for validation
    validation_accuracy: float | None
    learning_rate: float  # at the end of the epoch
    seconds: float  # training and evaluation


def train(
    network: nn.Module, *, recipe: Recipe, store: Store, epochs: int, seed: int, precision: Precision
) -> Iterator[EpochResult]:
    """Train the network in place, a result after each epoch; the schedule ends with the last. Raises DivergedError."""
    torch.manual_seed(seed)  # dropout draws from the global generator only
    generator = torch.Generator(store.device).manual_seed(seed)
    count = len(store.training)
    batch_size = min(recipe.batch_size, count)
    steps = count // batch_size  # an incomplete last batch is left to the next epoch's shuffle
    augmentation = Augmentation(recipe)
    prepared = augmentation.prepare(store.training, fill=store.mean, seed=seed)
    fit_whitening(network, store)
    optimise = optimizer(network, recipe)
    rates = schedule(optimise, recipe, steps=steps * epochs)
    enough = steps * epochs >= 2 * EVERY  # in fewer steps the average would still be the weights from before training
    averaging = Averaging(network) if recipe.averaging and enough else None
    network.train()
    for epoch in range(epochs):
        start = time.perf_counter()
        running = _Running(store.device)
        order = torch.randperm(count, device=store.device, generator=generator)[: steps * batch_size]
        for step, index in enumerate(torch.split(order, batch_size), start=epoch * steps + 1):
            pixels, targets = augmentation.batch(prepared, index, epoch=epoch, generator=generator)
            with autocast(store.device, precision):
                logits = network(normalise(pixels, store.mean, store.std)).float()
            loss = cross_entropy(logits, targets, smoothing=recipe.label_smoothing)
            optimise.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimise.step()
            rates.step()
            running.add(loss.detach(), logits.detach(), targets)
            if averaging and (step % EVERY == 0 or step == steps * epochs):
                averaging.update(progress=step / (steps * epochs))
            if step % FINITE_EVERY == 0:
                running.check(epoch=epoch + 1)
        running.check(epoch=epoch + 1)
        validation = evaluate(network, store.validation, store=store, precision=precision) if store.validation else None
        if validation and not math.isfinite(validation.loss):  # the step after the last look was one too many
            raise DivergedError(f"the validation loss is {validation.loss} after epoch {epoch + 1}")
        yield EpochResult(
            epoch=epoch + 1,
            epochs=epochs,
            train_loss=running.loss,
            train_accuracy=running.accuracy,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=validation.accuracy if validation else None,
            learning_rate=float(rates.get_last_lr()[0]),
            seconds=time.perf_counter() - start,
        )


class _Running:
    """Sums over the batches of one epoch, kept on the device so that no step waits for them."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device, dtype=torch.int64)
        self._batches = self._n = 0

    def add(self, loss: Tensor, logits: Tensor, targets: Targets) -> None:
        self._loss += loss
        self._correct += (logits.argmax(1) == targets.labels).sum()
        self._batches += 1
        self._n += len(logits)

    def check(self, *, epoch: int) -> None:
        if not torch.isfinite(self._loss):
            raise DivergedError(f"the training loss is {float(self._loss)} in epoch {epoch}")

    @property
    def loss(self) -> float:
        return float(self._loss) / self._batches  # batches are all of one size

    @property
    def accuracy(self) -> float:
        return int(self._correct) / self._n


def cross_entropy(logits: Tensor, targets: Targets, *, smoothing: float) -> Tensor:
    """Mean loss of a batch; where images are mixed, of both labels by their shares."""
    if targets.other is None or targets.share is None:
        return F.cross_entropy(logits, targets.labels, label_smoothing=smoothing)
    first = F.cross_entropy(logits, targets.labels, label_smoothing=smoothing, reduction="none")
    second = F.cross_entropy(logits, targets.other, label_smoothing=smoothing, reduction="none")
    return torch.lerp(second, first, targets.share).mean()


def fit_whitening(network: nn.Module, store: Store) -> None:
    """Take the directions of every whitening stem from the training images."""
    for module in network.modules():
        if isinstance(module, Whitening):
            module.fit(normalise(store.training.pixels[:WHITENING_IMAGES], store.mean, store.std))
