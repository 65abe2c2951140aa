"""Which images of a drawn batch are worth training on: those that a small network gets wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from search.candidate import Fast, Recipe
from search.data.augmentation import Targets
from search.training.optimizer import optimizer
from search.training.precision import Precision, autocast
from search.training.schedule import Schedule
from search.training.step import descend, losses

PROXY = Fast(width=(16, 32, 32), depth=(1, 1, 1))  # 10 MFLOPs an image: a third of a network that two cores afford
TRAINED_EVERY = 4  # batches; on the others the proxy only answers (airbench96 with data filtering)


def sizes(recipe: Recipe, *, images: int) -> tuple[int, int]:
    """Images that a step draws, and how many of them the network is trained on, of a training part of `images`."""
    drawn = round(min(recipe.batch_size / recipe.keep, images))
    return drawn, max(1, round(recipe.keep * drawn))


class Filter:
    """A proxy network that is trained beside the real one, by the same recipe, and picks its images.

    It stays in training mode: its norms take the statistics of each batch, so that it needs no averaged weights.
    """

    def __init__(self, proxy: nn.Module, recipe: Recipe, *, images: int, steps: int, precision: Precision) -> None:
        """Of a training of `steps` steps in all on a training part of `images`; `proxy` is fitted, on its device."""
        self._drawn, self._kept = sizes(recipe, images=images)
        self._proxy, self._precision = proxy.train(), precision
        self._recipe = replace(recipe, batch_size=self._drawn)  # the step of a decoupled rate follows the batch
        self._optimizer = optimizer(proxy, self._recipe)
        self._schedule = Schedule(self._optimizer, self._recipe, steps=-(-steps // TRAINED_EVERY))
        self._batches = 0  # seen
        self.loss = torch.zeros(())  # mean of the last batch's, on the device

    def choose(self, images: Tensor, targets: Targets) -> Tensor:
        """Those of the drawn images with the highest losses, int64 [kept]; every fourth batch trains the proxy too.

        `images` are normalised, [drawn, 3, H, W], as the real network would see them.
        """
        trains = self._batches % TRAINED_EVERY == 0
        with torch.set_grad_enabled(trains):
            with autocast(images.device, self._precision):
                logits = self._proxy(images).float()
            found = losses(logits, targets, smoothing=self._recipe.label_smoothing)
            loss = found.mean()
        if trains:
            descend(self._proxy, loss, optimizer=self._optimizer, recipe=self._recipe)
            self._schedule.step()
        self._batches += 1
        self.loss = loss.detach()
        return found.detach().topk(self._kept, sorted=False).indices

    def end_epoch(self, train_loss: float) -> None:
        """After each epoch, with the loss of the real network: a plateau of it lowers both learning rates."""
        self._schedule.end_epoch(train_loss)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain numbers; the next batch changes the tensors."""
        return {
            "proxy": self._proxy.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "batches": self._batches,
            "loss": self.loss,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of an equal one."""
        self._proxy.load_state_dict(state["proxy"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._batches = state["batches"]
        self.loss = state["loss"]
