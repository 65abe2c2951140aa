"""The benchmark tells what was measured from what was estimated, and what could not be measured."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from search.benchmarking import time_to_accuracy
from search.benchmarking.bench import BenchResult, SpaceSpeed, bench
from search.benchmarking.time_to_accuracy import REACHED, KnownTraining, Reach, ReachError, estimates, reach
from search.console.speed import bench_tables
from search.data import synthetic
from search.data.split import standard_split
from search.data.store import store
from search.measuring.compilation import Compilation
from search.measuring.dataloader_baseline import LoaderComparison
from search.measuring.throughput import Throughput
from search.planning.catalogue import load
from search.slots.machine import DeviceError
from spaces.space import Baseline

SPEED = Throughput(
    images_per_second=950.0,
    bare_images_per_second=1000.0,
    share_of_bare_loop=0.95,
    augmentation_share=0.05,
    evaluation_images_per_second=5000.0,
)


def shown(result: BenchResult) -> str:
    console = Console(file=StringIO(), width=80)
    console.print(bench_tables(result))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_an_estimate_counts_every_epoch_and_one_evaluation_and_is_missing_where_no_length_is_known() -> None:
    known = [training for training in REACHED.values() if training]
    seconds = estimates({(training.space, training.baseline): SPEED for training in known})
    for target, training in REACHED.items():
        expected = training and training.epochs * 45_000 / 950 + 5000 / 5000
        assert seconds[target] == (expected and pytest.approx(expected))
    assert set(estimates({}).values()) == {None}


@pytest.mark.parametrize("known", [known for known in REACHED.values() if known], ids=str)
def test_every_measured_length_is_of_a_shipped_baseline(known: KnownTraining) -> None:
    assert known.baseline in {baseline.name for baseline in load(known.space).baselines}


def test_a_target_without_a_length_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(ReachError, match=r"for 71 % validation accuracy; measured: 70, 80, 90") as caught:
        bench(targets=(71,), data="/nowhere", device="cpu")
    assert caught.value.exit_code == 2


def test_a_training_to_a_target_says_whether_it_was_met(monkeypatch: pytest.MonkeyPatch) -> None:
    images = synthetic.training(300)
    small = store(images, split=standard_split(images.labels, seed=0), device=torch.device("cpu"))
    values = {"architecture.family": "fast", "architecture.width": 8, "architecture.depth": 1, "recipe.batch_size": 50}
    tiny = replace(load("fast"), baselines=(Baseline(name="tiny", values=values),))
    monkeypatch.setattr(time_to_accuracy, "load", lambda _: tiny)
    for target, epochs in ((1, 2), (100, 1)):
        monkeypatch.setitem(REACHED, target, KnownTraining(space="fast", baseline="tiny", epochs=epochs))
    low, high = (reach(target, store=small, precision="float32") for target in (1, 100))
    assert low.met
    assert not high.met
    assert low.seconds > 0


def test_a_machine_that_cannot_compile_says_so_before_anything_is_measured() -> None:
    with pytest.raises(DeviceError, match="CUDA graphs"):
        bench(("mlp",), compile="reduce-overhead", data="synthetic", device="cpu")


def test_a_space_whose_weights_are_not_there_is_a_row_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("search.networks.weights.imagenet", lambda _: (tmp_path / "gone.pth", ""))
    result = bench(("transfer",), data="synthetic", device="cpu")
    assert result.spaces[0].throughput is None
    assert "transfer: not measured, its weights are not at" in shown(result)


def test_all_that_was_measured_is_shown_and_told_as_json() -> None:
    known = REACHED[80]
    assert known is not None
    compilation = Compilation(
        mode="default", seconds=45.0, images_per_second=2000.0, plain_images_per_second=1000.0, pays_after=90_000.0
    )
    row = SpaceSpeed(space="fast", baseline=known.baseline, throughput=SPEED, compilation=compilation)
    beside = LoaderComparison(
        network="32/64/64", images_per_second=300.0, dataloader_images_per_second=200.0, ratio=1.5
    )
    result = BenchResult(
        machine="a machine",
        spaces=(row, replace(row, space="cnn", baseline="other", compilation=None)),
        estimated_seconds=estimates({("fast", known.baseline): SPEED}),
        reached=(Reach(target=80, training=known, accuracy=0.79, met=False, seconds=100.0),),
        dataloader=(beside,),
    )
    text = shown(result)
    for words in ("95.0 %", "5.0 %", "about", "no length is measured yet", "79.00 %, not met", "1.50"):
        assert words in text
    assert "90,000 images, 2.0 epochs" in text
    told = json.loads(json.dumps(asdict(result), allow_nan=False))
    assert [space["throughput"]["share_of_bare_loop"] for space in told["spaces"]] == [0.95, 0.95]
    assert told["estimated_seconds"]["94"] is None
    assert told["dataloader"][0]["ratio"] == 1.5
    assert told["reached"][0]["met"] is False
