"""One training, as a generator that can be left after any step."""

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from search.augmentation.batch import Augmentation, Targets
from search.candidate import Recipe
from search.data.images import Images
from search.data.split import balanced
from search.data.store import Store, normalise
from search.training.averaging import EVERY, Averaging
from search.training.evaluate import evaluate
from search.training.parameter_groups import add_l1, optimizer
from search.training.precision import Precision, autocast
from search.training.result import GLANCE, EpochResult
from search.training.schedule import Schedule

FITTED_IMAGES = 5000  # a whitening stem takes its directions from as many (arXiv 2404.00498), and from fewer large ones
FINITE_EVERY = 20  # steps between two checks of the loss: each check waits for the GPU
TENSORS = ("order", "loss", "correct")  # of a training's state

State = dict[str, Any]
"""Tensors and plain numbers by name, nested: they can be read from a file without running code from it."""


class DivergedError(ArithmeticError):
    """The loss is infinite or not a number."""


class Training:
    """One training between two steps: `train` goes on with it."""

    def __init__(
        self,
        network: nn.Module,
        *,
        recipe: Recipe,
        store: Store,
        epochs: int,
        seed: int,
        precision: Precision,
        epoch_images: int | None = None,
        validated: tuple[int, ...] = (),
    ) -> None:
        """Of the network, in place, before its first step; seeds torch's global generator.

        An epoch takes `epoch_images` of the training images, the next one those that follow, before any comes again;
        None: all of them. It is validated after the epochs that `validated` names, each time at a glance, and after the
        last; where none is named, after each on all validation images.
        """
        torch.manual_seed(seed)  # dropout draws from the global generator only
        self.network, self.recipe, self.store = network, recipe, store
        self.epochs, self.precision = epochs, precision
        self.augmentation = Augmentation(recipe, store.training, fill=store.mean, seed=seed)
        self.weights = class_weights(store.training, power=recipe.class_weights) if recipe.class_weights else None
        fit_to(network, store)
        self.optimizer = optimizer(network, recipe)
        self.batch_size = min(recipe.batch_size, len(store.training))  # images of a step
        self.round = len(store.training) // self.batch_size  # steps; the rest is left to the next shuffle
        self.steps = min(self.round, max(1, (epoch_images or len(store.training)) // self.batch_size))  # of an epoch
        total = self.steps * epochs
        self.schedule = Schedule(self.optimizer, recipe, steps=total)
        enough = total >= 2 * EVERY  # in fewer steps the average would still be the weights from before training
        self.averaging = Averaging(network, steps=total) if recipe.averaging and enough else None
        self.generator = torch.Generator(store.device).manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.int64, device=store.device)  # this epoch's images, then the next ones'
        self.loss = torch.zeros((), device=store.device)  # sums over this epoch, on the device: no step waits for them
        self.correct = torch.zeros((), device=store.device, dtype=torch.int64)
        self.epoch = 0  # finished
        self.step = 0  # done, of all epochs
        self.validated = validated or tuple(range(1, epochs))
        self.glanced_at = store.validation if not validated or store.validation is None else glance(store.validation)
        self.seconds = 0.0  # spent in training and evaluation, not in its caller
        self.seconds_before = 0.0  # of these, before this epoch
        network.train()

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
            "seconds_before": self.seconds_before,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.averaging.average if self.averaging else [],
            "generator": self.generator.get_state(),
            "global generator": torch.get_rng_state(),
            "device's generator": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            **{name: getattr(self, name) for name in TENSORS},
        }

    def load(self, state: State) -> None:
        """Go on from the state of an equal training. If this raises, this training cannot be used any more."""
        self.epoch, self.step = state["epoch"], state["step"]
        self.network.load_state_dict(state["network"])
        if self.epoch == self.epochs:
            return
        self.seconds, self.seconds_before = state["seconds"], state["seconds_before"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.averaging:
            self.averaging.load(state["average"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["global generator"])
        device = self.store.device
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["device's generator"], device)
        self.order, self.loss, self.correct = (state[name].to(device) for name in TENSORS)


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
        training.order = _order(training)
        training.loss.zero_()
        training.correct.zero_()
        training.seconds_before = training.seconds
    first = training.step_of_epoch * training.batch_size
    index = training.order[first : first + training.batch_size]
    rounds, generator = training.step // training.round, training.generator
    pixels, targets = training.augmentation.batch(index, epoch=rounds, generator=generator)
    images = normalise(pixels, store.mean, store.std)
    logits, loss = descend(training, images, targets)
    training.schedule.step()
    training.loss += loss
    training.correct += (logits.argmax(1) == targets.labels).sum()
    training.step += 1
    if training.averaging and (training.step % EVERY == 0 or training.step == total):
        training.averaging.update(progress=training.step / total)
    if training.step % FINITE_EVERY == 0:
        _check_loss(training)


def _order(training: Training) -> Tensor:
    """The images of the next epoch, then those that later ones take: whole rounds in random order."""
    needed, store = training.steps * training.batch_size, training.store
    order = training.order[needed if training.step else 0 :]
    while len(order) < needed:
        shuffled = torch.randperm(len(store.training), device=store.device, generator=training.generator)
        order = torch.cat([order, shuffled[: training.round * training.batch_size]])
    return order


def descend(training: Training, images: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """One step of the optimiser over a normalised batch; returns its logits and its loss."""
    with autocast(training.store.device, training.precision):
        logits = training.network(images).float()
    loss = cross_entropy(logits, targets, smoothing=training.recipe.label_smoothing, weights=training.weights)
    training.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if training.recipe.l1:
        add_l1(training.network, training.recipe.l1)
    if training.recipe.clip:
        clip_grad_norm_(training.network.parameters(), training.recipe.clip, foreach=True)
    training.optimizer.step()
    return logits.detach(), loss.detach()


def cross_entropy(logits: Tensor, targets: Targets, *, smoothing: float, weights: Tensor | None = None) -> Tensor:
    """Mean loss of a batch, each label's times its class's weight; where images are mixed, of both by their shares."""
    if targets.share is None and weights is None:
        return F.cross_entropy(logits, targets.labels, label_smoothing=smoothing)

    def losses(labels: Tensor) -> Tensor:
        each = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
        return each if weights is None else each * weights[labels]

    if targets.other is None or targets.share is None:
        return losses(targets.labels).mean()
    return torch.lerp(losses(targets.other), losses(targets.labels), targets.share).mean()


def class_weights(images: Images, *, power: float) -> Tensor:
    """The share of each class to the minus `power`, float32 [classes], scaled to a mean of 1 over the images."""
    counts = images.labels.bincount(minlength=len(images.classes)).double()
    weights = counts.clamp(min=1) ** -power
    return (weights * len(images) / (weights @ counts)).float()


def _end_epoch(training: Training, *, start: float) -> EpochResult:
    """Evaluate, and count the epoch as finished; `start` is when this began."""
    _check_loss(training)
    store, epoch, validation = training.store, training.epoch + 1, None
    if store.validation and (epoch == training.epochs or epoch in training.validated):
        images = store.validation if epoch == training.epochs else training.glanced_at
        assert images is not None
        validation = evaluate(training.network, images, store=store, precision=training.precision)
        if not math.isfinite(validation.loss):  # the last steps were not checked
            raise DivergedError(f"the validation loss is {validation.loss} after epoch {epoch}")
    train_loss = float(training.loss) / training.steps  # batches are all of one size
    training.schedule.end_epoch(train_loss)
    training.epoch = epoch
    training.seconds += time.perf_counter() - start
    return EpochResult(
        epoch=epoch,
        epochs=training.epochs,
        train_loss=train_loss,
        train_accuracy=int(training.correct) / (training.steps * training.batch_size),
        validation_loss=validation.loss if validation else None,
        validation_accuracy=validation.accuracy if validation else None,
        validation_balanced_accuracy=validation.balanced_accuracy if validation else None,
        learning_rate=training.schedule.learning_rate,
        seconds=training.seconds - training.seconds_before,
    )


def _check_loss(training: Training) -> None:
    if not torch.isfinite(training.loss):
        raise DivergedError(f"the training loss is {float(training.loss)} in epoch {training.epoch + 1}")


def glance(images: Images) -> Images:
    """GLANCE of the images, each class in its share: enough to tell a poor training from a good one early."""
    order = balanced(images.labels.cpu(), seed=0, shares=True)[:GLANCE]
    return images.take(torch.from_numpy(np.sort(order)).to(images.labels.device))


def fit_to(network: nn.Module, store: Store) -> None:
    """Let each module that has `fit(images, mean=..., std=...)` adapt to the normalised training images."""
    count = FITTED_IMAGES * 32**2 // max(32, store.training.shape.side) ** 2  # or its patches would take gigabytes
    images = normalise(next(store.training.batches(count)), store.mean, store.std)
    for module in network.modules():
        if callable(adapt := getattr(module, "fit", None)):
            adapt(images, mean=store.mean, std=store.std)
