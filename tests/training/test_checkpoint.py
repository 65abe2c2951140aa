"""Checkpoints: a training that was left at any place and taken up again ends bit for bit as if it never was."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from malice import Payload, malicious
from small_networks import CIFAR10
from torch import nn

from search.candidate import Architecture, Cnn, Fast, Recipe
from search.data import synthetic
from search.data.split import stratified
from search.data.store import Store, store
from search.networks.build import build
from search.networks.cnn import CnnNetwork
from search.training.checkpoint import CheckpointError, pack, unpack
from search.training.precision import Precision
from search.training.result import EpochResult
from search.training.train import Training, train

CNN: Architecture = Cnn(stages=2, width=(4, 8), pool=3, hidden_layers=0, dropout=0.1)
FAST: Architecture = Fast(stages=2, width=(4, 8), depth=(1, 1), kernel=(3, 3), dropout=0.1)
RECIPE = Recipe(batch_size=20, mixup=0.4, cutout=4)  # four steps an epoch; alternating flip, translation, averaging
EVERYTHING = replace(RECIPE, flip="random", cutmix=1.0, rotation=10.0, brightness=0.1)
HEAD_FIRST = replace(RECIPE, head_first=0.5, backbone_scale=0.1)
EPOCHS = 3


@pytest.fixture(scope="module")
def small() -> Store:
    """90 images to train on, 40 to validate."""
    images = synthetic.training(130)
    return store(images, split=stratified(images.labels, validation=40, seed=0), device=torch.device("cpu"))


def begun(architecture: Architecture, recipe: Recipe, data: Store, precision: Precision = "float32") -> Training:
    network = build(architecture, images=CIFAR10, seed=1)
    return Training(network, recipe=recipe, store=data, epochs=EPOCHS, seed=1, precision=precision)


def taken_up(payload: bytes, architecture: Architecture, recipe: Recipe, data: Store) -> Training:
    """In a process that has done other things meanwhile."""
    training = begun(architecture, recipe, data)
    torch.rand(random.randrange(9))
    training.load(unpack(payload, identity="it"))
    return training


def timeless(results: list[EpochResult | None]) -> list[EpochResult]:
    return [replace(result, seconds=0.0) for result in results if result is not None]


def same_bits(one: nn.Module, two: nn.Module) -> bool:
    first, second = one.state_dict(), two.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


EVERYWHERE = range(1, EPOCHS * (4 + 1) + 1)  # four steps and an evaluation in each epoch
SOME = (3, 9, 10)  # within an epoch, before and after an evaluation


@pytest.mark.parametrize(
    ("architecture", "recipe", "places"),
    [
        pytest.param(FAST, RECIPE, EVERYWHERE, id="sgd"),
        pytest.param(CNN, replace(RECIPE, optimizer="adamw"), EVERYWHERE, id="adamw"),
        pytest.param(FAST, replace(EVERYTHING, averaging=False), EVERYWHERE, id="every augmentation"),
        pytest.param(FAST, replace(RECIPE, optimizer="muon", schedule="one_cycle"), SOME, id="muon, one cycle"),
        pytest.param(CNN, replace(RECIPE, optimizer="rmsprop", l1=1e-4, clip=0.5), SOME, id="rmsprop, l1, clipping"),
        pytest.param(CNN, replace(RECIPE, schedule="plateau", patience=0), SOME, id="plateau"),
        pytest.param(CNN, replace(HEAD_FIRST, optimizer="adam", schedule="one_cycle"), SOME, id="adam, the head first"),
        pytest.param(CNN, replace(HEAD_FIRST, schedule="cosine"), SOME, id="cosine, the head first"),
    ],
)
def test_left_after_any_step_and_taken_up_it_ends_bit_for_bit_the_same(
    architecture: Architecture, recipe: Recipe, places: Iterable[int], small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if recipe.head_first:
        monkeypatch.setattr(CnnNetwork, "backbone_blocks", lambda cnn: [cnn.features], raising=False)
    whole = begun(architecture, recipe, small)
    results = list(train(whole))
    assert len(results) == len(EVERYWHERE), "after each step and each evaluation it can be left"
    left = begun(architecture, recipe, small)
    payloads = [pack(left.state(), identity="it") for _ in train(left)]
    for place in places:
        training = taken_up(payloads[place - 1], architecture, recipe, small)
        rest = list(train(training))
        assert timeless(rest) == timeless(results[place:]), f"left at {place}"
        assert same_bits(training.network, whole.network), f"left at {place}"
    assert same_bits(left.network, whole.network), "a training does not notice that it is looked at"


def test_left_again_and_again_in_bfloat16(small: Store) -> None:
    whole = begun(FAST, EVERYTHING, small, "bfloat16")
    results = list(train(whole))
    training, found = begun(FAST, EVERYTHING, small, "bfloat16"), list[EpochResult | None]()
    while len(found) < len(results):
        found += islice(train(training), 3)
        payload = pack(training.state(), identity="it")
        training = begun(FAST, EVERYTHING, small, "bfloat16")
        training.load(unpack(payload, identity="it"))
    assert timeless(found) == timeless(results)
    assert same_bits(training.network, whole.network)


def test_the_seconds_of_an_epoch_include_those_before_it_was_left(small: Store) -> None:
    training = begun(CNN, RECIPE, small)
    steps = train(training)
    for place in range(1, 8):  # four steps, an evaluation, two steps
        next(steps)
        training.seconds += {1: 1000, 7: 100}.get(place, 0)
    payload = pack(training.state(), identity="it")
    results = list(train(taken_up(payload, CNN, RECIPE, small)))
    second, third = (result.seconds for result in results if result is not None)
    assert 1000 > second > 100 > third


def test_a_callers_own_time_between_steps_is_not_the_trainings(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("search.training.train.time.perf_counter", lambda: float(next(clock)))
    for result in train(begun(CNN, RECIPE, small)):
        next(clock)  # a second for each look at the clock, of which two lie around each step and each evaluation
        assert result is None or result.seconds == 5


def test_at_its_end_only_the_network_is_kept(small: Store) -> None:
    training = begun(CNN, RECIPE, small)
    *_, before_last, _ = (pack(training.state(), identity="it") for _ in train(training))
    payload = pack(training.state(), identity="it")
    assert len(payload) < len(before_last)
    again = taken_up(payload, CNN, RECIPE, small)
    assert list(train(again)) == []
    assert same_bits(again.network, training.network)


def test_a_checkpoint_of_another_training_or_format_is_refused(small: Store) -> None:
    state = begun(CNN, RECIPE, small).state()
    with pytest.raises(CheckpointError, match="of another training: candidate, seed, epochs or images differ"):
        unpack(pack(state, identity="another"), identity="it")
    for other in ({"format": 2, "identity": "it", "state": state}, [state], {}):
        buffer = io.BytesIO()
        torch.save(other, buffer)
        with pytest.raises(CheckpointError, match="not of format 1"):
            unpack(buffer.getvalue(), identity="it")


@pytest.mark.parametrize("environment", ["", "1"])
def test_a_checkpoint_never_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", environment)
    trace = tmp_path / "code ran"
    if environment:  # without the guard it does run
        with pytest.warns(UserWarning, match="forcing weights_only=False"):
            torch.load(io.BytesIO(malicious(trace)))
        trace.rmdir()
    for payload in (malicious(trace), pickle.dumps(Payload(trace), protocol=2)):
        with pytest.raises(pickle.UnpicklingError):
            unpack(payload, identity="it")
    assert not trace.exists()
