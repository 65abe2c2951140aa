"""The benchmark tells what was measured from what was estimated, and what could not be measured."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from io import StringIO
from itertools import cycle
from pathlib import Path

import pytest
import torch
from rich.console import Console

from search.benchmarking import time_to_accuracy as reaching
from search.benchmarking.bench import BenchRow, Findings, Request, bench
from search.benchmarking.time_to_accuracy import REACHED, ReachError, Way, estimates, reach, way_to
from search.candidate import Candidate, Fast, Recipe
from search.console.speed import bench_tables
from search.data import synthetic
from search.data.split import usual as usual_split
from search.data.store import Store, store
from search.measuring import dataloader_baseline as usual
from search.measuring import throughput
from search.measuring.dataloader_baseline import LoaderComparison
from search.measuring.throughput import Throughput, in_turns
from search.networks.build import build
from search.slots.machine import DeviceError
from search.training.compiling import Compilation, compiled, obstacle

TINY = Candidate(architecture=Fast(width=(8, 8, 8), depth=(1, 1, 1)), recipe=Recipe(batch_size=50))
SPEED = Throughput(
    images_per_second=950.0,
    bare_images_per_second=1000.0,
    augmentation_images_per_second=19_000.0,
    evaluation_images_per_second=5000.0,
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small() -> Store:
    images = synthetic.training(300)
    return store(images, split=usual_split(images.labels, seed=0), device=CPU)


def shown(found: Findings) -> str:
    console = Console(file=StringIO(), width=80)
    console.print(bench_tables(found))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_speeds_of_one_round_are_held_against_each_other() -> None:
    slow = cycle([1.0, 1.0, 1.0, 10.0, 1.0])  # a machine that other work slows down for a round
    rounds = [next(slow) for _ in range(10)]
    first, second = (iter([(100, factor * seconds) for seconds in rounds]) for factor in (1, 2))
    assert in_turns(lambda: next(first), lambda: next(second), rounds=5) == (100.0, 50.0)


def test_every_second_round_runs_backwards() -> None:
    ran: list[str] = []

    def work(name: str) -> tuple[int, float]:
        ran.append(name)
        return 100, 1.0

    in_turns(partial(work, "a"), partial(work, "b"), partial(work, "c"), rounds=2)
    assert "".join(ran) == "abccbaabccba"


def test_an_estimate_counts_every_epoch_and_one_evaluation() -> None:
    assert Way(space="fast", baseline="b", epochs=2).seconds(SPEED) == pytest.approx(2 * 45_000 / 950 + 5000 / 5000)


def test_a_target_without_a_measured_length_has_no_estimate() -> None:
    ways = [way for way in REACHED.values() if way]
    found = {each.target: each.seconds for each in estimates({(way.space, way.baseline): SPEED for way in ways})}
    assert found.keys() == REACHED.keys()
    assert all((seconds is None) == (REACHED[target] is None) for target, seconds in found.items())


@pytest.mark.parametrize("way", [way for way in REACHED.values() if way], ids=str)
def test_every_measured_length_is_of_a_shipped_baseline(way: Way) -> None:
    assert way.candidate().recipe.batch_size > 0


def test_a_target_without_a_length_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(ReachError, match=r"for 71 % validation accuracy; measured: 70, 80, 90"):
        bench(Request(reach=(71,), data="/nowhere", device="cpu"))
    assert way_to(80).epochs > 0


def test_a_training_to_a_target_says_whether_it_was_met(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Way, "candidate", lambda _: TINY)
    monkeypatch.setitem(reaching.REACHED, 1, Way(space="fast", baseline="tiny", epochs=2))
    monkeypatch.setitem(reaching.REACHED, 100, Way(space="fast", baseline="tiny", epochs=1))
    low, high = (reach(target, store=small, precision="float32") for target in (1, 100))
    assert low.met
    assert not high.met
    assert 0 < low.evaluation_seconds < low.seconds


def test_the_usual_loop_trains_on_changed_pictures_from_two_processes(
    small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput, "MOMENT", 0.01)
    monkeypatch.setattr(throughput, "WARMUP", 0)
    monkeypatch.setattr(usual, "BATCHES", 2)
    found = usual.measure(TINY, store=small, precision="float32", rounds=1)
    assert found.ratio == pytest.approx(found.images_per_second / found.usual_images_per_second)


def test_a_compiled_network_keeps_the_names_of_its_weights() -> None:
    names = [build(TINY.architecture, seed=0).state_dict().keys()]
    network = build(TINY.architecture, seed=0)
    assert compiled(network, "default") is network
    assert network._compiled_call_impl is not None
    assert network.state_dict().keys() == names[0]
    plain = build(TINY.architecture, seed=0)
    assert compiled(plain, None)._compiled_call_impl is None


def test_what_keeps_a_machine_from_compiling_is_said_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "take --compile default" in (obstacle("reduce-overhead", device=CPU) or "")
    with pytest.raises(DeviceError, match="CUDA graphs"):
        bench(Request(spaces=("mlp",), compile="reduce-overhead", data="synthetic", device="cpu"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "g++, which is not here; install it" in (obstacle("default", device=CPU) or "")


@pytest.mark.parametrize(("speed", "images"), [(2000.0, 20_000.0), (1000.0, None), (900.0, None)])
def test_compiling_pays_after_so_many_images_or_never(speed: float, images: float | None) -> None:
    found = Compilation(mode="default", seconds=10.0, images_per_second=speed, plain_images_per_second=1000.0)
    assert found.pays_after == (None if images is None else pytest.approx(images))


def test_a_space_whose_weights_are_not_there_is_a_row_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("search.networks.weights.kept", lambda _: tmp_path / "gone.pth")
    found = bench(Request(spaces=("transfer",), data="synthetic", device="cpu"))
    assert found.as_json()["transfer"]["images_per_second"] is None
    assert "transfer: not measured, its weights are not at" in shown(found)


def test_all_that_was_measured_is_shown_and_told_as_json() -> None:
    compilation = Compilation(mode="default", seconds=45.0, images_per_second=2000.0, plain_images_per_second=1000.0)
    way = REACHED[80]
    assert way is not None
    row = BenchRow(space="fast", baseline=way.baseline, throughput=SPEED, compilation=compilation)
    found = Findings(
        machine="a machine",
        rows=(row, replace(row, space="cnn", baseline="other", compilation=None)),
        reached=(reaching.Reach(target=80, way=way, accuracy=0.79, seconds=100.0, evaluation_seconds=3.0),),
        usual={"32/64/64": LoaderComparison(images_per_second=300.0, usual_images_per_second=200.0)},
        estimates=estimates({("fast", way.baseline): SPEED}),
    )
    text = shown(found)
    for words in ("95.0 %", "5.0 %", "about", "no length is measured yet", "79.00 %, not met", "1.50"):
        assert words in text
    assert "90,000 images, 2.0 epochs" in text
    told = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert all(told[space]["share_of_bare_loop"] == pytest.approx(0.95) for space in ("fast", "cnn"))
    assert told["fast"]["estimated_seconds_to"]["94"] is None
    assert "estimated_seconds_to" not in told["cnn"]
    assert told["usual"]["32/64/64"]["ratio"] == 1.5
    assert told["reach"]["80"]["met"] is False
