"""A network's answers on images that it does not learn from: counted, and never augmented."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.data.cifar10 import Images
from search.data.store import Store, normalise
from search.training.precision import Precision, autocast

BATCH = 500  # images: small enough for a CPU's cache, large enough to keep a GPU busy


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Counted over all n images, not averaged over batches."""

    correct: int
    n: int
    loss: float  # mean cross entropy, without label smoothing

    @property
    def accuracy(self) -> float:
        return self.correct / self.n


@torch.no_grad()
def logits(network: nn.Module, images: Images, *, mean: Tensor, std: Tensor, precision: Precision) -> Tensor:
    """Float32 [N, classes] on the images' device; `mean` and `std` [3] are those of the network's training images."""
    was_training = network.training
    network.eval()
    with autocast(mean.device, precision):
        answers = [network(normalise(pixels, mean, std)) for pixels in torch.split(images.pixels, BATCH)]
    network.train(was_training)
    return torch.cat(answers).float()


def evaluate(network: nn.Module, images: Images, *, store: Store, precision: Precision) -> Evaluation:
    """Accuracy and loss on these images."""
    answers = logits(network, images, mean=store.mean, std=store.std, precision=precision)
    return Evaluation(
        correct=int((answers.argmax(1) == images.labels).sum()),
        n=len(images),
        loss=float(F.cross_entropy(answers.double(), images.labels)),
    )
