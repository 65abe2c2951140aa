"""One training, as a generator that can be left after any step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from search.candidate import Recipe
from search.data.augmentation import Augmentation, PreparedImages
from search.data.store import Store, normalise
from search.networks.protocols import fit
from search.training.averaging import EVERY, Averaging
from search.training.evaluate import evaluate
from search.training.optimizer import optimizer
from search.training.precision import Precision, autocast
from search.training.result import EpochResult
from search.training.schedule import Schedule
from search.training.step import cross_entropy, descend

FITTED_IMAGES = 5000  # a whitening stem takes its directions from as many (arXiv 2404.00498)
FINITE_EVERY = 20  # steps between two checks of the loss: each check waits for the GPU

State = dict[str, Any]
"""Tensors and plain numbers by name, nested: they can be read from a file without running code from it."""


class DivergedError(ArithmeticError):
    """The loss is infinite or not a number."""


@dataclass(kw_only=True, eq=False)
class Training:
    """One training between two steps: `begin` makes it, `train` goes on with it."""

    network: nn.Module
    recipe: Recipe
    store: Store
    precision: Precision
    epochs: int
    steps: int  # of an epoch
    batch_size: int  # images of a step
    augmentation: Augmentation
    prepared: PreparedImages
    optimizer: Optimizer
    schedule: Schedule
    averaging: Averaging | None
    generator: torch.Generator  # on the store's device; dropout draws from the global one
    order: Tensor  # int64, the images of this epoch's batches
    loss: Tensor  # sums over this epoch's batches, kept on the device so that no step waits for them
    correct: Tensor
    epoch: int = 0  # finished
    step: int = 0  # done, of all epochs
    seconds: float = 0.0  # spent in training and evaluation, not in its caller
    seconds_before: float = 0.0  # of these, before this epoch

    @property
    def step_of_epoch(self) -> int:
        return self.step - self.epoch * self.steps

    def state(self) -> State:
        """All that the rest of the training depends on. The next step changes these tensors: save them before it."""
        done = {"epoch": self.epoch, "step": self.step, "network": self.network.state_dict()}
        if self.epoch == self.epochs:
            return done
        device = self.store.device
        return done | {
            "seconds": self.seconds,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.averaging.average if self.averaging else [],
            "generator": self.generator.get_state(),
            "global generator": torch.get_rng_state(),
            "device's generator": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "order": self.order,
            "loss": self.loss,
            "correct": self.correct,
            "seconds_before": self.seconds_before,
        }

    def load(self, state: State) -> None:
        """Go on from the state of an equal training. If this raises, this training cannot be used any more."""
        self.epoch, self.step = state["epoch"], state["step"]
        self.network.load_state_dict(state["network"])
        if self.epoch == self.epochs:
            return
        self.seconds = state["seconds"]
        device = self.store.device
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.averaging:
            self.averaging.load(state["average"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["global generator"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["device's generator"], device)
        self.order, self.loss, self.correct = (state[name].to(device) for name in ("order", "loss", "correct"))
        self.seconds_before = state["seconds_before"]


def begin(
    network: nn.Module, *, recipe: Recipe, store: Store, epochs: int, seed: int, precision: Precision
) -> Training:
    """A training of the network, in place, before its first step; seeds torch's global generator."""
    torch.manual_seed(seed)  # dropout draws from the global generator only
    augmentation = Augmentation(recipe)
    prepared = augmentation.prepare(store.training, fill=store.mean, seed=seed)
    fit_to(network, store)
    made = optimizer(network, recipe)
    batch_size = min(recipe.batch_size, len(store.training))
    steps = len(store.training) // batch_size  # an incomplete last batch is left to the next epoch's shuffle
    total = steps * epochs
    enough = total >= 2 * EVERY  # in fewer steps the average would still be the weights from before training
    network.train()
    return Training(
        network=network,
        recipe=recipe,
        store=store,
        precision=precision,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        augmentation=augmentation,
        prepared=prepared,
        optimizer=made,
        schedule=Schedule(made, recipe, steps=total),
        averaging=Averaging(network, steps=total) if recipe.averaging and enough else None,
        generator=torch.Generator(store.device).manual_seed(seed),
        order=torch.empty(0, dtype=torch.int64, device=store.device),
        loss=torch.zeros((), device=store.device),
        correct=torch.zeros((), device=store.device, dtype=torch.int64),
    )


def train(training: Training) -> Iterator[EpochResult | None]:
    """Go on to the end: None after each step, a result after each epoch's evaluation. Raises DivergedError.

    After each yield the training may be left, and an equal training may load its state and go on.
    """
    while training.epoch < training.epochs:
        start = time.perf_counter()
        if training.step_of_epoch < training.steps:
            _step(training)
            training.seconds += time.perf_counter() - start
            yield None
        else:
            yield _end_epoch(training, start=start)


def _step(training: Training) -> None:
    store, total = training.store, training.steps * training.epochs
    if training.step_of_epoch == 0:
        _begin_epoch(training)
    first = training.step_of_epoch * training.batch_size
    index = training.order[first : first + training.batch_size]
    pixels, targets = training.augmentation.batch(
        training.prepared, index, epoch=training.epoch, generator=training.generator
    )
    images = normalise(pixels, store.mean, store.std)
    with autocast(store.device, training.precision):
        logits = training.network(images).float()
    loss = cross_entropy(logits, targets, smoothing=training.recipe.label_smoothing)
    descend(training.network, loss, optimizer=training.optimizer, recipe=training.recipe)
    training.schedule.step()
    training.loss += loss.detach()
    training.correct += (logits.detach().argmax(1) == targets.labels).sum()
    training.step += 1
    if training.averaging and (training.step % EVERY == 0 or training.step == total):
        training.averaging.update(progress=training.step / total)
    if training.step % FINITE_EVERY == 0:
        _check_loss(training)


def _begin_epoch(training: Training) -> None:
    count, device = len(training.store.training), training.store.device
    order = torch.randperm(count, device=device, generator=training.generator)
    training.order = order[: training.steps * training.batch_size]
    training.loss.zero_()
    training.correct.zero_()
    training.seconds_before = training.seconds


def _end_epoch(training: Training, *, start: float) -> EpochResult:
    """Evaluate, and count the epoch as finished; `start` is when this began."""
    _check_loss(training)
    store, epoch = training.store, training.epoch + 1
    validation = None
    if store.validation:
        validation = evaluate(training.network, store.validation, store=store, precision=training.precision)
        if not math.isfinite(validation.loss):  # the last steps were not checked
            raise DivergedError(f"the validation loss is {validation.loss} after epoch {epoch}")
    train_loss = float(training.loss) / training.steps  # batches are all of one size
    correct = int(training.correct)
    training.schedule.end_epoch(train_loss)
    training.epoch = epoch
    training.seconds += time.perf_counter() - start
    return EpochResult(
        epoch=epoch,
        epochs=training.epochs,
        train_loss=train_loss,
        train_accuracy=correct / (training.steps * training.batch_size),
        validation_loss=validation.loss if validation else None,
        validation_accuracy=validation.accuracy if validation else None,
        learning_rate=training.schedule.learning_rate,
        seconds=training.seconds - training.seconds_before,
    )


def _check_loss(training: Training) -> None:
    if not torch.isfinite(training.loss):
        raise DivergedError(f"the training loss is {float(training.loss)} in epoch {training.epoch + 1}")


def fit_to(network: nn.Module, store: Store) -> None:
    """Give the network what it takes from the training images before its first step."""
    images = normalise(store.training.pixels[:FITTED_IMAGES], store.mean, store.std)
    fit(network, images=images, mean=store.mean, std=store.std)
