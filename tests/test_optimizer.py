"""The optimiser and its schedule: what learns, how fast, and what a decoupled number means."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search.candidate import Architecture, Cnn, Fast, Recipe
from search.networks.blocks import FrozenScaleNorm
from search.networks.build import build
from search.training.optimizer import learning_rate, optimizer, schedule, weight_decay

FAST: Architecture = Fast(stages=2, width=(4, 6), depth=(1, 2), kernel=(3, 3))
CNN: Architecture = Cnn(stages=2, width=(4, 6), hidden=(5,))
RECIPES = [Recipe(), Recipe(optimizer="adamw"), Recipe(momentum=0.0), Recipe(decoupled=False, learning_rate=0.1)]


def step(network: nn.Module, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Take one step; returns the parameters as they were before."""
    before = {name: weights.detach().clone() for name, weights in network.named_parameters()}
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    optimise = optimizer(network, recipe)
    nn.functional.cross_entropy(network(images), torch.arange(8)).backward()  # type: ignore[no-untyped-call]
    optimise.step()
    return before


@pytest.mark.parametrize("architecture", [FAST, CNN], ids=["fast", "cnn"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_trainable_weight_is_optimised_once_and_no_frozen_one(architecture: Architecture, recipe: Recipe) -> None:
    network = build(architecture, seed=0)
    given = [id(weights) for group in optimizer(network, recipe).param_groups for weights in group["params"]]
    assert len(given) == len(set(given))
    assert set(given) == {id(weights) for weights in network.parameters() if weights.requires_grad}


@pytest.mark.parametrize("architecture", [FAST, CNN], ids=["fast", "cnn"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_one_step_moves_what_is_trainable_and_nothing_else(architecture: Architecture, recipe: Recipe) -> None:
    network = build(architecture, seed=0)
    before = step(network, recipe)
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


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_numbers_that_are_not_decoupled_reach_torch_as_they_are(name: Any) -> None:
    recipe = Recipe(optimizer=name, decoupled=False, batch_size=64, learning_rate=0.3, weight_decay=0.02, momentum=0.7)
    group = optimizer(build(CNN, seed=0), recipe).param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.02)
    assert (group["momentum"] if name == "sgd" else group["betas"][0]) == 0.7


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


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_strength_of_the_decay_does_not_depend_on_the_learning_rate(name: Any) -> None:
    recipes = [Recipe(optimizer=name, learning_rate=rate) for rate in (0.1, 1.0, 100.0)]
    strengths = [learning_rate(recipe) * weight_decay(recipe) for recipe in recipes]
    assert strengths == pytest.approx([strengths[0]] * 3)


def test_adamw_takes_the_root_of_the_batch() -> None:
    small, large = (learning_rate(Recipe(optimizer="adamw", batch_size=size)) for size in (128, 512))
    assert large == pytest.approx(2 * small)


def test_biases_of_frozen_norms_learn_faster_and_decay_alike() -> None:
    network = build(FAST, seed=0)
    slow, fast = optimizer(network, Recipe(bias_scale=40.0)).param_groups
    assert fast["lr"] == pytest.approx(40 * slow["lr"])
    assert fast["lr"] * fast["weight_decay"] == pytest.approx(slow["lr"] * slow["weight_decay"])
    norms = [module for module in network.modules() if isinstance(module, FrozenScaleNorm)]
    assert {id(weights) for weights in fast["params"]} == {id(norm.bias) for norm in norms}
    slow, fast = optimizer(network, Recipe(optimizer="adamw", bias_scale=40.0)).param_groups
    assert fast["lr"] == slow["lr"]
    assert len(optimizer(build(CNN, seed=0), Recipe()).param_groups) == 1


def rates(recipe: Recipe, steps: int, group: int = 0) -> list[float]:
    """Learning rate of every step, and after the last."""
    optimise = optimizer(build(FAST, seed=0), recipe)
    for part in optimise.param_groups:
        part["params"] = [torch.zeros(1, requires_grad=True)]
    scheduler = schedule(optimise, recipe, steps=steps)
    found = [optimise.param_groups[group]["lr"]]
    for _ in range(steps):
        optimise.step()
        scheduler.step()
        found.append(optimise.param_groups[group]["lr"])
    return found


def test_the_rate_rises_from_a_fifth_to_its_peak_and_falls_to_exactly_zero() -> None:
    recipe = Recipe(warmup=0.25)
    found = [rate / learning_rate(recipe) for rate in rates(recipe, 40)]
    assert found[0] == pytest.approx(0.2)
    assert found[5] == pytest.approx(0.6)
    assert found[10] == max(found) == pytest.approx(1)
    assert found[25] == pytest.approx(0.5)
    assert found[39] == pytest.approx(1 / 30), "the last step still learns"
    assert found[40] == 0
    biases = [rate / learning_rate(recipe) / recipe.bias_scale for rate in rates(recipe, 40, group=1)]
    assert biases == pytest.approx(found)


def test_without_warm_up_the_first_step_is_the_largest() -> None:
    recipe = Recipe(warmup=0.0)
    assert [rate / learning_rate(recipe) for rate in rates(recipe, 4)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_every_schedule_is_one_hill_that_ends_at_zero(steps: int, warmup: float) -> None:
    recipe = Recipe(warmup=warmup)
    found = [rate / learning_rate(recipe) for rate in rates(recipe, steps)]
    assert all(0 < rate <= 1 + 1e-9 and math.isfinite(rate) for rate in found[:-1])
    assert found[-1] == 0
    rises = [later > earlier for earlier, later in pairwise(found)]
    assert rises == sorted(rises, reverse=True), "it falls and rises again"
