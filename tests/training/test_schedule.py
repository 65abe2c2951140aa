"""The schedule: where each shape of the learning rate is at its named places, and what rests, drops and resumes."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import Optimizer

from search.candidate import OPTIMIZERS, Recipe
from search.networks.blocks import FrozenScaleNorm
from search.training.parameter_groups import learning_rate, optimizer
from search.training.schedule import Schedule, shape

SCHEDULES: list[Any] = ["linear", "cosine", "one_cycle", "plateau", "constant"]
END = {"linear": 0.0, "cosine": 0.0, "one_cycle": 1 / 25e4, "plateau": 1.0, "constant": 1.0}  # shares of the peak


def small(recipe: Recipe) -> Optimizer:
    """Of two groups, the second with a rate of its own where the recipe has one."""
    return optimizer(nn.Sequential(nn.Linear(1, 1), FrozenScaleNorm(1)), recipe)


def rates(recipe: Recipe, steps: int, group: int = 0) -> list[float]:
    """Learning rate of every step, and after the last."""
    optimise = small(recipe)
    scheduler = Schedule(optimise, recipe, steps=steps)
    found = [optimise.param_groups[group]["lr"]]
    for _ in range(steps):
        scheduler.step()
        found.append(optimise.param_groups[group]["lr"])
    return found


def shares(recipe: Recipe, steps: int) -> list[float]:
    return [rate / learning_rate(recipe) for rate in rates(recipe, steps)]


def test_the_rate_rises_from_a_fifth_to_its_peak_and_falls_to_exactly_zero() -> None:
    recipe = Recipe(warmup=0.25)
    found = shares(recipe, 40)
    assert found[0] == pytest.approx(0.2)
    assert found[5] == pytest.approx(0.6)
    assert found[10] == max(found) == pytest.approx(1)
    assert found[25] == pytest.approx(0.5)
    assert found[39] == pytest.approx(1 / 30), "the last step still learns"
    assert found[40] == 0
    biases = [rate / learning_rate(recipe) / recipe.bias_scale for rate in rates(recipe, 40, group=1)]
    assert biases == pytest.approx(found)


def test_cosine_falls_slowly_at_both_ends() -> None:
    found = shares(Recipe(schedule="cosine", warmup=0.2), 50)
    assert found[:11] == pytest.approx(shares(Recipe(warmup=0.2), 50)[:11]), "its rise is that of linear"
    assert found[10::10] == pytest.approx([1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4, 0])


def test_one_cycle_is_torchs_own() -> None:
    recipe = Recipe(schedule="one_cycle", warmup=0.3, momentum=0.9)
    ours, theirs = small(recipe), small(recipe)
    scheduler = Schedule(ours, recipe, steps=100)
    peaks = [group["lr"] for group in theirs.param_groups]
    # Of 101 steps the 30th and the 100th end torch's two halves: it counts the last step, we what follows it.
    reference = torch.optim.lr_scheduler.OneCycleLR(
        theirs, peaks, total_steps=101, pct_start=31 / 101, base_momentum=0.8, max_momentum=0.9
    )
    for _ in range(100):
        for one, two in zip(ours.param_groups, theirs.param_groups, strict=True):
            assert (one["lr"], one["momentum"]) == pytest.approx((two["lr"], two["momentum"]))
        theirs.step()
        scheduler.step()
        reference.step()
    assert ours.param_groups[0]["lr"] == pytest.approx(peaks[0] / 25e4)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_momentum_of_one_cycle_dips_where_the_rate_peaks(name: Any) -> None:
    def momentum() -> float:
        group = optimise.param_groups[0]
        return float(group["betas"][0] if "betas" in group else group["momentum"])

    recipe = Recipe(optimizer=name, schedule="one_cycle", warmup=0.25, momentum=0.06)
    optimise = small(recipe)
    scheduler = Schedule(optimise, recipe, steps=8)
    found = [momentum()]
    for _ in range(8):
        scheduler.step()
        found.append(momentum())
    assert (found[0], found[2], found[8]) == (pytest.approx(0.06), 0, pytest.approx(0.06)), "never below none"
    untouched = Recipe(optimizer=name, warmup=0.25, momentum=0.06)
    optimise = small(untouched)
    Schedule(optimise, untouched, steps=8).step()
    assert momentum() == 0.06


def test_without_warm_up_the_first_step_is_the_largest_and_constant_and_plateau_stay_at_their_peak() -> None:
    assert shares(Recipe(warmup=0.0), 4) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    for name in ("constant", "plateau"):
        assert shares(Recipe(schedule=name, warmup=0.5), 8) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1])


def test_a_plateau_drops_the_rate_after_more_than_its_patience_without_a_lower_training_loss() -> None:
    recipe = Recipe(schedule="plateau", warmup=0.0, patience=2, drop=0.5)
    optimise = small(recipe)
    scheduler = Schedule(optimise, recipe, steps=100)
    found = []
    for loss in (3.0, 2.0, 2.0, 2.5, 2.1, 1.9, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0):
        scheduler.step()
        scheduler.end_epoch(loss)
        found.append(scheduler.learning_rate / learning_rate(recipe))
    assert found == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    biases = optimise.param_groups[1]["lr"] / learning_rate(recipe) / recipe.bias_scale
    assert biases == pytest.approx(0.125)


def test_only_a_plateau_looks_at_the_loss() -> None:
    for name in set(SCHEDULES) - {"plateau"}:
        recipe = Recipe(schedule=name, patience=0)
        scheduler = Schedule(small(recipe), recipe, steps=10)
        before = scheduler.learning_rate
        for _ in range(5):
            scheduler.end_epoch(1.0)
        assert scheduler.learning_rate == before


STEPS, WARMUPS = st.integers(1, 60), st.floats(0, 1, exclude_max=True)


@settings(deadline=None)
@given(st.sampled_from(SCHEDULES), STEPS, WARMUPS)
def test_every_shape_is_one_hill_within_its_bounds_that_ends_where_it_should(
    name: Any, steps: int, warmup: float
) -> None:
    recipe = Recipe(schedule=name, warmup=warmup)
    found = [shape(recipe, step=step, steps=steps) for step in range(steps + 1)]
    assert all(0 < share <= 1 + 1e-9 for share in found[:-1])
    assert found[-1] == pytest.approx(END[name])
    rises = [later > earlier for earlier, later in pairwise(found)]
    assert rises == sorted(rises, reverse=True), "it falls and rises again"


def test_a_resting_group_takes_no_gradient_until_its_share_of_the_steps_is_over() -> None:
    recipe = Recipe(warmup=0.0)
    optimise = small(recipe)
    head, backbone = optimise.param_groups
    backbone["rests"] = 0.3
    scheduler = Schedule(optimise, recipe, steps=10)
    for step in range(10):
        rests = step < 3
        assert (backbone["lr"] == 0) == rests
        assert all(weights.requires_grad != rests for weights in backbone["params"])
        assert head["lr"] > 0
        assert all(weights.requires_grad for weights in head["params"])
        scheduler.step()


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_from_plain_data(name: Any) -> None:
    recipe = Recipe(schedule=name, patience=0, head_first=0.5)
    whole, left = small(recipe), small(recipe)
    first, second = (Schedule(optimise, recipe, steps=12) for optimise in (whole, left))
    for epoch in range(3):
        for _ in range(3):
            first.step()
        first.end_epoch(1.0 + epoch)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for _ in range(3):
        for one, two in zip(whole.param_groups, left.param_groups, strict=True):
            assert one | {"params": []} == two | {"params": []}
        first.step()
        second.step()
    first.end_epoch(9.0)
    second.end_epoch(9.0)
    assert first.learning_rate == second.learning_rate
