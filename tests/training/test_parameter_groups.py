"""The optimiser: what learns, how fast, and what a decoupled number means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import CIFAR10
from torch import nn

from search.candidate import OPTIMIZERS, Architecture, Cnn, Fast, Recipe, Transfer
from search.networks.blocks import FrozenScaleNorm, PartialIdentity
from search.networks.build import build
from search.training.parameter_groups import add_l1, learning_rate, optimizer, weight_decay

FAST: Architecture = Fast(stages=2, width=(4, 6), depth=(1, 2), kernel=(3, 3))
CNN: Architecture = Cnn(stages=2, width=(4, 6), hidden=(5,))
RECIPES = [
    *(Recipe(optimizer=name) for name in OPTIMIZERS),
    Recipe(momentum=0.0),
    Recipe(optimizer="muon", momentum=0.0),
    Recipe(decoupled=False, learning_rate=0.1),
]


@pytest.mark.parametrize("architecture", [FAST, CNN], ids=["fast", "cnn"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_trainable_weight_is_optimised_once_and_no_frozen_one(architecture: Architecture, recipe: Recipe) -> None:
    network = build(architecture, images=CIFAR10, seed=0)
    before = {name: weights.detach().clone() for name, weights in network.named_parameters()}
    optimise = optimizer(network, recipe)
    given = [id(weights) for group in optimise.param_groups for weights in group["params"]]
    assert sorted(given) == sorted(id(weights) for weights in network.parameters() if weights.requires_grad)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    nn.functional.cross_entropy(network(images), torch.arange(8)).backward()  # type: ignore[no-untyped-call]
    optimise.step()
    moved = {name for name, weights in network.named_parameters() if not torch.equal(weights, before[name])}
    assert moved == {name for name, weights in network.named_parameters() if weights.requires_grad}


def test_learning_rate_and_weight_decay_by_number() -> None:
    sgd = Recipe(batch_size=512, learning_rate=11.5, momentum=0.85, weight_decay=0.0153)
    enlargement = 1 + 1 / 0.15  # 7.667
    assert learning_rate(sgd) == pytest.approx(11.5 / 2 / enlargement)  # 0.75: for the mean loss of a batch
    assert weight_decay(sgd) == pytest.approx(0.0153 / 11.5)
    adamw = Recipe(optimizer="adamw", batch_size=256, learning_rate=8.0, momentum=0.9, weight_decay=0.011)
    assert learning_rate(adamw) == pytest.approx(0.01 / 2)
    assert learning_rate(adamw) * weight_decay(adamw) == pytest.approx(0.011 / 4 / 11)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_numbers_that_are_not_decoupled_reach_torch_as_they_are(name: Any) -> None:
    recipe = Recipe(optimizer=name, decoupled=False, batch_size=64, learning_rate=0.3, weight_decay=0.02, momentum=0.7)
    for group in optimizer(build(CNN, images=CIFAR10, seed=0), recipe).param_groups:
        assert (group["lr"], group["weight_decay"]) == (0.3, 0.02)
    assert (group["betas"][0] if name.startswith("adam") else group["momentum"]) == 0.7


SIZES, SHARES = st.integers(1, 65536), st.floats(0, 0.99)


@settings(deadline=None)
@given(SIZES, SIZES, SHARES, SHARES, st.floats(0.01, 1000))
def test_a_decoupled_step_fits_every_batch_size_and_momentum(
    one: int, two: int, first: float, second: float, rate: float
) -> None:
    def reach(batch_size: int, momentum: float) -> tuple[float, float]:
        """How far an image's steady gradient, and the decay, carry a weight in the end."""
        recipe = Recipe(batch_size=batch_size, momentum=momentum, learning_rate=rate)
        per_image = learning_rate(recipe) / batch_size * (1 + 1 / (1 - momentum))
        return per_image, per_image * weight_decay(recipe)

    assert reach(one, first) == pytest.approx(reach(two, second))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_strength_of_the_decay_does_not_depend_on_the_learning_rate(name: Any) -> None:
    recipes = [Recipe(optimizer=name, learning_rate=rate) for rate in (0.1, 1.0, 100.0)]
    groups = [optimizer(build(CNN, images=CIFAR10, seed=0), recipe).param_groups[-1] for recipe in recipes]
    strengths = [group["lr"] * group["weight_decay"] for group in groups]
    assert strengths == pytest.approx([strengths[0]] * 3)


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_a_decay_in_the_gradient_is_the_same_part_of_the_loss_whatever_optimises_it(name: Any) -> None:
    for recipe in (Recipe(), Recipe(batch_size=64, momentum=0.5, learning_rate=3.0)):
        assert weight_decay(replace(recipe, optimizer=name)) == weight_decay(recipe)


@settings(deadline=None)
@given(st.sampled_from([name for name, kind in OPTIMIZERS.items() if kind.step]), SIZES, SHARES)
def test_a_step_that_knows_no_scale_of_the_gradient_takes_the_root_of_the_batch(
    name: Any, size: int, momentum: float
) -> None:
    def reach(batch_size: int, momentum: float) -> float:
        """How far steady gradients carry a weight in a step: the momentum of RMSprop alone enlarges it."""
        rate = learning_rate(Recipe(optimizer=name, batch_size=batch_size, momentum=momentum))
        return rate / (1 - momentum) if name == "rmsprop" else rate

    assert reach(size, momentum) == pytest.approx(10 * OPTIMIZERS[name].step * (size / 1024) ** 0.5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steady_gradients_carry_a_weight_as_far_as_the_learning_rate_says(name: Any) -> None:
    layer = nn.Linear(1, 1, bias=False)
    recipe = Recipe(optimizer=name, weight_decay=0.0, momentum=0.6)
    optimise = optimizer(layer, recipe)
    places = []
    for _ in range(400):  # the running mean of squares begins at zero
        places.append(layer.weight.item())
        layer.weight.grad = torch.full((1, 1), 0.01)
        optimise.step()
    found = (places[-2] - places[-1]) / optimise.param_groups[0]["lr"]
    enlarged = {"sgd": 0.01 / 0.4, "muon": 0.01 / 0.4, "adam": 1, "adamw": 1, "rmsprop": 1 / 0.4}
    assert found == pytest.approx(enlarged[name], rel=0.05)


def test_biases_of_frozen_norms_learn_faster_and_decay_alike() -> None:
    network = build(FAST, images=CIFAR10, seed=0)
    slow, fast = optimizer(network, Recipe(bias_scale=40.0)).param_groups
    assert fast["lr"] == pytest.approx(40 * slow["lr"])
    assert fast["lr"] * fast["weight_decay"] == pytest.approx(slow["lr"] * slow["weight_decay"])
    norms = [module for module in network.modules() if isinstance(module, FrozenScaleNorm)]
    assert {id(weights) for weights in fast["params"]} == {id(norm.bias) for norm in norms}
    for name in ("adam", "adamw", "rmsprop"):
        slow, fast = optimizer(network, Recipe(optimizer=name, bias_scale=40.0)).param_groups
        assert fast["lr"] == slow["lr"], "their steps know no scale of the gradient"
    assert len(optimizer(build(CNN, images=CIFAR10, seed=0), Recipe()).param_groups) == 1


def test_muon_turns_the_filters_and_leaves_all_other_weights_to_sgd() -> None:
    network = build(FAST, images=CIFAR10, seed=0)
    filters, others, biases = optimizer(network, Recipe(optimizer="muon", bias_scale=40.0)).param_groups
    assert (filters["filters"], others["filters"], biases["filters"]) == (True, False, False)
    trained = [layer for layer in network.modules() if isinstance(layer, PartialIdentity)]
    assert {id(weights) for weights in filters["params"]} == {id(layer.weight) for layer in trained}
    sgd, sgd_biases = optimizer(network, Recipe(bias_scale=40.0)).param_groups
    assert (others["lr"], biases["lr"]) == (sgd["lr"], sgd_biases["lr"])
    assert filters["lr"] == learning_rate(Recipe(optimizer="muon"))


def test_filters_that_see_one_channel_each_are_no_matrix_for_muon() -> None:
    layers = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.Conv2d(4, 4, 1, bias=False))
    filters, others = optimizer(layers, Recipe(optimizer="muon")).param_groups
    assert filters["params"] == [layers[1].weight]
    assert others["params"] == [layers[0].weight]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_pretrained_backbone_learns_slower_and_decays_alike(name: Any) -> None:
    network = build(Transfer(backbone="resnet18", weights="none"), images=CIFAR10, seed=0, device="meta")
    recipe = Recipe(optimizer=name, backbone_scale=0.1, head_first=0.25)
    groups = optimizer(network, recipe).param_groups
    head, backbone = groups[0], groups[-1]
    names = {id(weights): name for name, weights in network.named_parameters()}
    assert {names[id(weights)].split(".")[0] for weights in head["params"]} == {"head"}
    assert {names[id(weights)].split(".")[0] for weights in backbone["params"]} == {"backbone"}
    assert backbone["lr"] == pytest.approx(0.1 * head["lr"])
    assert backbone["lr"] * backbone["weight_decay"] == pytest.approx(head["lr"] * head["weight_decay"])
    assert [group["rests"] for group in groups] == [0.0] + [0.25] * (len(groups) - 1)


def test_the_slope_of_l1_reaches_trainable_matrices_and_no_bias_or_norm() -> None:
    network = build(FAST, images=CIFAR10, seed=0)
    trained = {name: weights for name, weights in network.named_parameters() if weights.requires_grad}
    for weights in trained.values():
        weights.grad = torch.ones_like(weights)
    add_l1(network, 0.25)
    layers = {"stages.0.first.0.weight", "stages.1.first.0.weight", "stages.1.rest.0.weight", "classifier.weight"}
    for name, weights in trained.items():
        assert weights.grad is not None
        assert torch.equal(weights.grad, 1 + 0.25 * weights.sign() * (name in layers)), name
