"""The usual way to train, to compare the product's speed with: PIL transforms in a DataLoader."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from search.candidate import Candidate
from search.data.store import Store
from search.measuring.throughput import TimedStep, batches, endless, in_turns, training_step
from search.training.precision import Precision
from search.training.train import Training

LOADERS = 2  # processes
BATCHES = 16  # of one timed pass: a whole one, so that no loader works on while the other loop is timed


@dataclass(frozen=True, kw_only=True)
class LoaderComparison:
    """Training speed of the product's loop beside one over a DataLoader, measured in turns."""

    network: str
    images_per_second: float
    dataloader_images_per_second: float
    ratio: float


def measure(candidate: Candidate, *, store: Store, precision: Precision) -> LoaderComparison:
    """Both loops with flip and translate alone; the other one in float32, without a schedule or averaged weights."""
    candidate = replace(candidate, recipe=replace(candidate.recipe, flip="random"))
    product, other = (endless(candidate, store=store, precision=precision) for _ in range(2))
    here, there = in_turns(training_step(product), _loader_pass(other), device=store.device)
    speeds = {"images_per_second": here, "dataloader_images_per_second": there, "ratio": here / there}
    return LoaderComparison(network=candidate.architecture.title, **speeds)


def _loader_pass(training: Training) -> TimedStep:
    """A plain loop over two loader processes, which are kept from pass to pass, with some of the images."""
    from torchvision import transforms  # takes seconds, and is needed only here

    store, recipe = training.store, training.recipe
    mean, std = ((numbers / 255).tolist() for numbers in (store.mean, store.std))
    crop = transforms.RandomCrop(store.training.shape.side, padding=recipe.translate, padding_mode="reflect")
    around = [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(mean, std)]
    change = transforms.Compose([transforms.ToPILImage(), crop, *around])
    some, images = torch.cat(batches(training, most=BATCHES)), store.training
    loader: DataLoader[Any] = DataLoader(
        list(zip(images.at(some).cpu().numpy(), images.labels[some].tolist(), strict=True)),  # type: ignore[arg-type]
        batch_size=training.batch_size,
        shuffle=True,
        num_workers=LOADERS,
        persistent_workers=True,
        collate_fn=partial(_batch, change=change),
        pin_memory=store.device.type == "cuda",
    )
    network = training.network.to(memory_format=torch.contiguous_format)

    def loader_pass() -> int:
        for pictures, labels in loader:
            logits = network(pictures.to(store.device, non_blocking=True))
            loss = F.cross_entropy(logits, labels.to(store.device), label_smoothing=recipe.label_smoothing)
            training.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            training.optimizer.step()
        return len(some)

    return loader_pass


def _batch(samples: list[tuple[Any, int]], *, change: Callable[[Any], Tensor]) -> tuple[Tensor, Tensor]:
    """In a loader's process: pixels [S, S, C] made pictures, changed, and made normalised tensors."""
    return torch.stack([change(pixels) for pixels, _ in samples]), torch.tensor([label for _, label in samples])
