"""The benchmark tells what was measured from what was estimated, and what could not be measured."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from search.benchmarking import bench as benchmark
from search.benchmarking.bench import REACHED, BenchResult, KnownTraining, Reach, SpaceSpeed, estimates
from search.console.speed import bench_tables
from search.data import synthetic
from search.data.split import standard_split
from search.data.store import store
from search.errors import UsageError
from search.measuring.compilation import Compilation
from search.measuring.dataloader_baseline import LoaderComparison
from search.measuring.throughput import Throughput
from search.planning.catalogue import load
from search.slots.machine import DeviceError, survey
from spaces.space import Baseline

SPEEDS = {"images_per_second": 950.0, "bare_images_per_second": 1000.0, "evaluation_images_per_second": 5000.0}
SPEED = Throughput(share_of_bare_loop=0.95, augmentation_share=0.05, **SPEEDS)


def shown(result: BenchResult) -> str:
    console = Console(file=(output := StringIO()), width=80)
    console.print(bench_tables(result))
    return output.getvalue()


def test_an_estimate_counts_every_epoch_and_one_evaluation_and_is_missing_where_no_length_is_known() -> None:
    rows = [SpaceSpeed(space=known.space, baseline=known.baseline, throughput=SPEED) for known in REACHED.values()]
    expected = {target: pytest.approx(known.epochs * 45_000 / 950 + 5000 / 5000) for target, known in REACHED.items()}
    assert estimates(rows) == {**expected, 94: None}
    assert set(estimates([]).values()) == {None}
    for known in REACHED.values():
        assert known.baseline in {baseline.name for baseline in load(known.space).baselines}


def test_what_cannot_be_done_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(UsageError, match=r"for 71 % validation accuracy; measured: 70, 80, 90") as caught:
        benchmark.bench(targets=(71,), data="/nowhere", device="cpu")
    assert caught.value.exit_code == 2
    with pytest.raises(DeviceError, match="CUDA graphs"):
        benchmark.bench(("mlp",), compile="reduce-overhead", data="/nowhere", device="cpu")


def test_a_training_to_a_target_says_whether_it_was_met(monkeypatch: pytest.MonkeyPatch) -> None:
    images = synthetic.training(300)
    small = store(images, split=standard_split(images, seed=0), device=torch.device("cpu"))
    values = {"architecture.family": "fast", "architecture.width": 8, "architecture.depth": 1, "recipe.batch_size": 50}
    tiny = replace(load("fast"), baselines=(Baseline(name="tiny", values=values),))
    monkeypatch.setattr(benchmark, "load", lambda _: tiny)
    for target, epochs in ((1, 2), (100, 1)):
        monkeypatch.setitem(REACHED, target, KnownTraining(space="fast", baseline="tiny", epochs=epochs))
    low, high = (benchmark.reach(target, store=small, machine=survey("cpu")) for target in (1, 100))
    assert (low.met, high.met) == (True, False)
    assert low.seconds > 0


def test_a_space_whose_weights_are_not_there_is_a_row_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("search.networks.weights.imagenet", lambda _: (tmp_path / "gone.pth", ""))
    result = benchmark.bench(("transfer",), data="synthetic", device="cpu")
    assert result.spaces[0].throughput is None
    assert "transfer: not measured, its weights are not at" in shown(result)


def test_all_that_was_measured_is_shown_and_told_as_json() -> None:
    known, speeds = REACHED[80], {"images_per_second": 2000.0, "plain_images_per_second": 1000.0}
    compilation = Compilation(mode="default", seconds=45.0, pays_after=90_000.0, **speeds)
    row = SpaceSpeed(space="fast", baseline=known.baseline, throughput=SPEED, compilation=compilation)
    beside = {"images_per_second": 300.0, "dataloader_images_per_second": 200.0, "ratio": 1.5}
    result = BenchResult(
        machine="a machine",
        spaces=(row, replace(row, space="cnn", baseline="other", compilation=None)),
        estimated_seconds=estimates([row]),
        reached=(Reach(target=80, training=known, accuracy=0.79, met=False, seconds=100.0),),
        dataloader=(LoaderComparison(network="32/64/64", **beside),),
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
