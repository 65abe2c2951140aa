"""Speeds are measured in turns, on whole batches, and leave the images as they were."""

from __future__ import annotations

from itertools import cycle

import pytest
import torch

from search.candidate import Candidate, Fast, Recipe
from search.data import synthetic
from search.data.split import standard_split
from search.data.store import Store, store
from search.measuring import dataloader_baseline, throughput
from search.measuring.compilation import pays_after
from search.measuring.throughput import compare, images_per_second, in_turns

CPU = torch.device("cpu")
TINY = Fast(width=(8, 8, 8), depth=(1, 1, 1))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Store:
    """270 images to train on, 30 to validate; and measurements that are quickly done."""
    for name, value in {"MOMENT": 0.01, "SECONDS": 0.01, "IN_TURNS": 0.0, "FEWEST_ROUNDS": 1, "WARMUP": 0}.items():
        monkeypatch.setattr(throughput, name, value)
    images = synthetic.training(300)
    return store(images, split=standard_split(images, seed=0), device=CPU)


def test_speeds_of_one_round_are_compared_with_each_other_and_every_second_round_runs_backwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = cycle([1.0, 1.0, 1.0, 10.0, 1.0])  # a machine that other work slows down for a round
    order: list[str] = []

    def speed(step: str, *, device: torch.device) -> float:
        order.append(step)
        seconds = next(slow) if len(order) % 2 else rounds[-1]
        rounds.append(seconds)
        return {"a": 100.0, "b": 50.0}[step] / seconds

    rounds: list[float] = []
    monkeypatch.setattr(throughput, "speed", speed)
    monkeypatch.setattr(throughput, "IN_TURNS", 0.0)
    assert in_turns("a", "b", device=CPU) == (100.0, 50.0)  # type: ignore[arg-type]
    assert "".join(order) == "abbaabbaabbaab"


@pytest.mark.parametrize("batch_size", [50, 4096])
def test_the_speed_is_measured_on_whole_batches_without_validation(small: Store, batch_size: int) -> None:
    candidate = Candidate(architecture=TINY, recipe=Recipe(batch_size=batch_size, mixup=0.2))
    before = small.training.pixels.clone()
    assert images_per_second(candidate, store=small, precision="float32") > 0
    found = compare(candidate, store=small, precision="float32")
    assert found.images_per_second == pytest.approx(found.share_of_bare_loop * found.bare_images_per_second)
    assert 0 < found.share_of_bare_loop < 2
    assert torch.equal(small.training.pixels, before)


def test_the_usual_loop_trains_on_changed_pictures_from_two_processes(small: Store) -> None:
    candidate = Candidate(architecture=TINY, recipe=Recipe(batch_size=50))
    found = dataloader_baseline.measure(candidate, store=small, precision="float32")
    assert found.ratio == pytest.approx(found.images_per_second / found.dataloader_images_per_second)


@pytest.mark.parametrize(("speed", "images"), [(2000.0, 20_000.0), (1000.0, None), (900.0, None)])
def test_compiling_pays_after_so_many_images_or_never(speed: float, images: float | None) -> None:
    found = pays_after(10.0, plain=1000.0, compiled=speed)
    assert found == (None if images is None else pytest.approx(images))
