"""The usual way to train, to hold the product's speed against: PIL transforms in a DataLoader."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from search.candidate import Candidate, Recipe
from search.data.cifar10 import Images
from search.data.geometry import SIDE
from search.data.store import Store
from search.measuring.throughput import Stretch, begun, first_batches, in_turns, stretch, training_step
from search.networks.build import build
from search.training.optimizer import optimizer
from search.training.precision import Precision
from search.training.train import fit_to

LOADERS = 2  # processes
BATCHES = 16  # of one measured stretch: a whole pass, so that no loader works on while the other loop is timed
ROUNDS = 5  # some three seconds each on two cores


@dataclass(frozen=True, kw_only=True)
class LoaderComparison:
    """Training speed of the product's loop beside the usual one, measured in turns."""

    images_per_second: float
    usual_images_per_second: float

    @property
    def ratio(self) -> float:
        return self.images_per_second / self.usual_images_per_second


def measure(candidate: Candidate, *, store: Store, precision: Precision, rounds: int = ROUNDS) -> LoaderComparison:
    """The candidate's network in both loops, with the augmentation that both know: random flip and translate.

    The product keeps its own number and memory formats, schedule and averaged weights; the usual loop has float32 and
    torch's default memory format, and neither schedule nor average.
    """
    recipe = candidate.recipe
    shared = Recipe(
        optimizer=recipe.optimizer,
        batch_size=recipe.batch_size,
        decoupled=recipe.decoupled,
        learning_rate=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        bias_scale=recipe.bias_scale,
        label_smoothing=recipe.label_smoothing,
        averaging=recipe.averaging,
        flip="random",
        translate=recipe.translate,
    )
    candidate = replace(candidate, recipe=shared)
    product = training_step(begun(candidate, store=store, precision=precision))
    found = in_turns(stretch(product, device=store.device), _usual_pass(candidate, store), rounds=rounds)
    return LoaderComparison(images_per_second=found[0], usual_images_per_second=found[1])


class _Pictures(Dataset[tuple[Tensor, int]]):
    """Training images, each made a picture, changed, and made a normalised tensor [3, 32, 32]."""

    def __init__(self, images: Images, *, translate: int, mean: list[float], std: list[float]) -> None:
        """`mean` and `std` of each channel, in pixel values 0..1."""
        from torchvision import transforms  # seconds, and only here

        self.pixels, self.labels = images.pixels.cpu().numpy(), images.labels.tolist()
        self.change = transforms.Compose(
            [
                transforms.RandomCrop(SIDE, padding=translate, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.change(Image.fromarray(self.pixels[index])), self.labels[index]


def _usual_pass(candidate: Candidate, store: Store) -> Stretch:
    recipe, device = candidate.recipe, store.device
    network = build(candidate.architecture, classes=len(store.training.classes), seed=0, device=device)
    fit_to(network, store)
    network.to(memory_format=torch.contiguous_format).train()
    optimise, loader = optimizer(network, recipe), _loader(recipe, store)

    def work() -> tuple[int, float]:
        count, start = 0, time.perf_counter()
        for images, labels in loader:
            logits = network(images.to(device, non_blocking=True))
            loss = F.cross_entropy(logits, labels.to(device, non_blocking=True), label_smoothing=recipe.label_smoothing)
            optimise.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimise.step()
            count += len(labels)
        loss.item()  # waits for a GPU
        return count, time.perf_counter() - start

    return work


def _loader(recipe: Recipe, store: Store) -> DataLoader[tuple[Tensor, int]]:
    """Two loader processes, which are kept from pass to pass, over the first images of the training part."""
    size, few = first_batches(store.training, recipe, most=BATCHES)
    mean, std = ((numbers / 255).tolist() for numbers in (store.mean, store.std))
    return DataLoader(
        _Pictures(few, translate=recipe.translate, mean=mean, std=std),
        batch_size=size,
        shuffle=True,
        num_workers=LOADERS,
        persistent_workers=True,
        pin_memory=store.device.type == "cuda",
        generator=torch.Generator().manual_seed(0),
    )
