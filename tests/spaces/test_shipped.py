"""Every shipped space: it loads, its baselines may be trained, and so may nearly all of its draws."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import pytest
import torch
from small_networks import CIFAR10

import spaces
from search.candidate import Transfer
from search.data import synthetic
from search.data.split import stratified
from search.data.store import store
from search.networks.build import build
from search.planning.catalogue import load
from search.planning.feasibility import Feasibility, examine
from search.training.train import Training, train
from spaces.loader import shipped_spaces

FILES = sorted(Path(str(spaces.__file__)).parent.glob("*.yaml"))
DRAWS = 20  # of each space; `cifar-search spaces check` draws a thousand
NAMES = [file.stem for file in FILES if file.stem != "baselines"]
REFUSALS = ("(W - F + 2P)/S + 1", "no way leads from node 0 of the cell to node 3")

each_space = pytest.mark.parametrize("name", NAMES)


@cache
def draws(name: str) -> list[Feasibility]:
    space = load(name)
    return [examine(space, space.sample(Random(seed)), images=CIFAR10) for seed in range(DRAWS)]


def test_every_space_file_is_shipped_under_its_name() -> None:
    assert shipped_spaces() == NAMES
    assert {"cell", "cnn", "fast", "mlp", "residual", "smoke", "transfer"} <= set(NAMES)


@each_space
def test_a_space_says_what_it_is_and_how_long_to_train(name: str) -> None:
    space = load(name)
    assert space.name == name
    assert space.description
    assert space.length is not None
    assert 1 <= space.length.trial <= space.length.retrain
    assert load(name).fingerprint == space.fingerprint


@each_space
def test_its_baselines_may_be_trained(name: str) -> None:
    space = load(name)
    assert space.baselines
    for baseline in space.baselines:
        assert space.check(baseline.values) == []
        assert examine(space, baseline.values, images=CIFAR10).problem == ""
    for side in (28, 64, 128):  # the limit of FLOPs grows with the pictures
        found = examine(space, space.baselines[0].values, images=CIFAR10._replace(side=side))
        assert found.violations.get("flops", 0) <= 0


@each_space
def test_its_draws_differ_and_nearly_all_are_feasible(name: str) -> None:
    assert len({drawn.candidate for drawn in draws(name)}) > DRAWS / 2
    refused = [drawn.problem for drawn in draws(name) if drawn.problem]
    assert len(refused) <= 0.2 * DRAWS, refused
    for drawn in draws(name):
        over = any(violation > 0 for violation in drawn.violations.values())
        assert over == drawn.problem.startswith("over the limit of the space: ")
        assert drawn.candidate is not None or any(sentence in drawn.problem for sentence in REFUSALS)


@each_space
def test_a_draw_trains_two_steps_and_stays_finite(name: str) -> None:
    images = synthetic.training(60)
    split = stratified(images.labels, validation=20, seed=0)
    few = store(images, split=split, device=torch.device("cpu"))
    candidate = next(drawn.candidate for drawn in draws(name) if drawn.candidate and not drawn.problem)
    architecture = candidate.architecture
    if isinstance(architecture, Transfer):  # no download, and the smallest pictures
        architecture = replace(architecture, backbone="mobilenet_v3_large", weights="none", input_size=32)
    network = build(architecture, images=CIFAR10, seed=0)
    training = Training(network, recipe=candidate.recipe, store=few, epochs=2, seed=0, precision="float32")
    results = [result for result in train(training) if result]
    numbers = [loss for result in results for loss in (result.train_loss, result.validation_loss)]
    assert all(loss is not None and math.isfinite(loss) for loss in numbers)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values())
