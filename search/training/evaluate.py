"""Accuracy, loss and logits of a network on images that it does not train on, without augmentation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from search.augmentation.pixels import reflect
from search.data.images import Images
from search.data.store import Store, normalise
from search.networks.build import build
from search.networks.origin import content, origin
from search.training.precision import Precision, autocast

BATCH = 500  # images: small enough for a CPU's cache, large enough to keep a GPU busy


@dataclass(frozen=True)
class View:
    """A shift and a flip of an image, and the weight of the logits for it."""

    shift: int  # pixels along both axes: below 0 the image moves up and left, its edges reflected
    mirrored: bool
    weight: float


PLAIN = (View(0, False, 1.0),)
# The multi-crop evaluation of arXiv 2404.00498: plain and mirrored count alike, the centre twice as much as a shift.
SIX_VIEWS = tuple(View(shift, mirrored, (2 - abs(shift)) / 8) for shift in (0, -1, 1) for mirrored in (False, True))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Computed over all n images at once: a mean over batches would favour the images of a small last one."""

    correct: int
    n: int
    loss: float  # mean cross entropy, without label smoothing
    balanced_accuracy: float  # the mean over the classes that are there of the share of their images that is right

    @property
    def accuracy(self) -> float:
        return self.correct / self.n


@torch.no_grad()
def logits(
    network: nn.Module,
    images: Images,
    *,
    mean: Tensor,
    std: Tensor,
    precision: Precision,
    views: Sequence[View] = PLAIN,
) -> Tensor:
    """Float32 [N, classes] on the images' device, of several views the weighted sum; one is in memory at a time.

    `mean` and `std` [C] are those of the network's training images.
    """
    was_training = network.training
    network.eval()
    answers = []
    with autocast(mean.device, precision):
        for pixels in images.batches(BATCH):
            seen = (normalise(_seen(pixels, view), mean, std) for view in views)
            of_views = [view.weight * network(each).float() for view, each in zip(views, seen, strict=True)]
            answers.append(torch.stack(of_views).sum(0))
    network.train(was_training)
    return torch.cat(answers)


def answering(path: Path, *, images: Images, precision: Precision) -> Callable[..., Tensor]:
    """Asks a network, of which the weights lie there with their JSON, about images on their device, see `logits`.

    Raises WeightsError, and RuntimeError or SafetensorError where the two do not agree.
    """
    known, device = origin(path), images.labels.device
    mean, std = (255 * torch.tensor(numbers, dtype=torch.float64) for numbers in known.statistics)
    mean, std = (numbers.float().to(device) for numbers in (mean, std))
    network = build(known.architecture, images=images.shape, seed=0)
    network.load_state_dict(load(content(path, known)))  # by its bytes: the folder's name may be no UTF-8
    return partial(logits, network.to(device), images, mean=mean, std=std, precision=precision)


def evaluate(network: nn.Module, images: Images, *, store: Store, precision: Precision) -> Evaluation:
    """Accuracies and loss on these images."""
    answers = logits(network, images, mean=store.mean, std=store.std, precision=precision)
    right, loss = answers.argmax(1) == images.labels, F.cross_entropy(answers.double(), images.labels)
    found, sizes = (labels.bincount(minlength=len(images.classes)) for labels in (images.labels[right], images.labels))
    balanced = (found / sizes.double())[sizes > 0].mean()
    return Evaluation(correct=int(right.sum()), n=len(images), loss=float(loss), balanced_accuracy=float(balanced))


def _seen(pixels: Tensor, view: View) -> Tensor:
    """Pixels [B, S, S, C] as this view shows them."""
    if view.shift:
        side = pixels.shape[1]
        place = reflect(torch.arange(side, device=pixels.device) - view.shift, side=side)
        pixels = pixels.index_select(1, place).index_select(2, place)
    return pixels.flip(2) if view.mirrored else pixels
