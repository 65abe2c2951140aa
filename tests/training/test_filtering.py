"""Data filtering: the hardest images are trained on, the proxy learns beside the network, and its faults are said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.candidate import Architecture, Fast, Recipe
from search.data import synthetic
from search.data.augmentation import Targets
from search.data.store import Store, normalise, store
from search.measuring.memory import training_bytes
from search.networks.build import build
from search.networks.count import Cost, cost
from search.training.filtering import PROXY, Filter, sizes
from search.training.train import DivergedError, Training, begin, train

FAST: Architecture = Fast(stages=2, width=(4, 8), depth=(1, 1), kernel=(3, 3))
RECIPE = Recipe(batch_size=10, keep=0.5)


@pytest.fixture(scope="module")
def small() -> Store:
    """90 images to train on, none to validate."""
    return store(synthetic.training(90), split=None, device=torch.device("cpu"))


def begun(recipe: Recipe, data: Store, *, epochs: int = 2) -> Training:
    network = build(FAST, seed=0)
    return begin(network, recipe=recipe, store=data, epochs=epochs, seed=0, precision="float32")


def filter_of(proxy: nn.Module, recipe: Recipe = RECIPE) -> Filter:
    return Filter(proxy, recipe, images=90, steps=8, precision="float32")


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))


@pytest.mark.parametrize(
    ("batch_size", "keep", "images", "expected"),
    [
        (256, 1.0, 45_000, (256, 256)),
        (256, 0.5, 45_000, (512, 256)),
        (100, 0.3, 45_000, (333, 100)),
        (4096, 1.0, 200, (200, 200)),
        (256, 0.5, 200, (200, 100)),  # fewer images than a step would draw: the share is kept
        (65536, 1e-300, 200, (200, 1)),
    ],
)
def test_a_step_draws_what_leaves_a_batch(batch_size: int, keep: float, images: int, expected: tuple[int, int]) -> None:
    assert sizes(Recipe(batch_size=batch_size, keep=keep), images=images) == expected


@pytest.mark.parametrize("mixed", [False, True])
def test_the_images_with_the_highest_loss_are_chosen(mixed: bool, small: Store) -> None:
    proxy = linear()
    images = normalise(small.training.pixels[:20], small.mean, small.std)
    targets = Targets(small.training.labels[:20])
    logits = proxy(images)
    first = F.cross_entropy(logits, targets.labels, label_smoothing=RECIPE.label_smoothing, reduction="none")
    expected = first
    if mixed:
        targets = Targets(targets.labels, targets.labels.roll(1), torch.linspace(0, 1, 20))
        other = F.cross_entropy(logits, targets.labels.roll(1), label_smoothing=0.1, reduction="none")
        expected = torch.linspace(0, 1, 20) * first + (1 - torch.linspace(0, 1, 20)) * other
    chosen = filter_of(proxy).choose(images, targets)
    assert sorted(chosen.tolist()) == sorted(expected.argsort(descending=True)[:10].tolist())


def test_the_proxy_learns_from_every_fourth_batch_it_draws(small: Store) -> None:
    run = begun(RECIPE, small)
    assert run.filter is not None
    proxy = dict(run.filter.state_dict()["proxy"])
    changed: list[bool] = []
    steps = train(run)
    while len(changed) < 8:
        before = proxy["classifier.weight"].clone()
        if next(steps) is None:
            changed.append(not torch.equal(before, proxy["classifier.weight"]))
    assert changed == [True, False, False, False] * 2


def test_the_network_trains_on_the_kept_share_of_one_pass_over_the_images(small: Store) -> None:
    run, seen = begun(RECIPE, small), list[int]()

    def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(len(inputs[0]))

    run.network.register_forward_pre_hook(note)
    results = [result for result in train(run) if result is not None]
    assert seen == [10] * 8, "four steps of twenty drawn images in each epoch; ten wait for the next shuffle"
    assert all(0 <= result.train_accuracy <= 1 for result in results)
    assert results[-1].learning_rate == 0, "the schedule ends with the network's last step"


def test_mixed_targets_follow_their_images() -> None:
    targets = Targets(torch.arange(4), torch.arange(4, 8), torch.linspace(0, 1, 4))
    found = targets.take(torch.tensor([3, 1]))
    assert found.labels.tolist() == [3, 1]
    assert found.other is not None
    assert found.share is not None
    assert found.other.tolist() == [7, 5]
    assert found.share.tolist() == pytest.approx([1, 1 / 3])


def test_a_proxy_whose_loss_is_no_number_is_said_to_diverge(small: Store) -> None:
    run = begun(RECIPE, small)
    assert run.filter is not None
    run.filter.state_dict()["proxy"]["classifier.weight"].fill_(float("nan"))
    with pytest.raises(DivergedError, match="loss of the proxy that picks the images is nan in epoch 1"):
        list(train(run))


def test_the_memory_of_a_training_counts_its_proxy() -> None:
    proxy, large = cost(PROXY), Cost(parameters=1000, flops=1, activations=10**6)
    alone, filtered = Recipe(batch_size=100), Recipe(batch_size=100, keep=0.5)
    assert training_bytes(large, filtered) - training_bytes(large, alone) == 4 * 3 * proxy.parameters
    tiny = replace(large, activations=1)  # then the proxy's own pass over all that is drawn needs more
    assert training_bytes(tiny, filtered) == 4 * (4 * 1000 + 3 * proxy.parameters) + 200 * proxy.activations
