"""A published recipe that is trained in several starts: what goes on, what does not, and when it stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripted_pool import ScriptedPool, epoch

from search.data import synthetic
from search.data.images import Images
from search.deciding import baseline, trainings
from search.deciding.baseline import BaselineUnfinished, reproduce_baseline
from search.deciding.request import BaselineRequest
from search.slots.job import Began, Event, Job
from spaces.baselines import find_baseline
from studies.ledger import openings
from studies.storage import storage_url

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, images: Images) -> ScriptedPool:
    """A slot on which each start has time for one epoch."""
    clock = [0.0]

    def one_epoch(job: Job) -> Iterator[Event]:
        done = job.reported or 0
        yield from (Began(epoch=done, step=4 * done), epoch(job, done + 1))
        clock[0] += 61
        yield epoch(job, done + 2)  # too late

    pool = ScriptedPool(one_epoch)
    monkeypatch.setattr(baseline, "Pool", pool)
    for module in (baseline, trainings):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return pool


def start(folder: Path, **asked: object) -> BaselineUnfinished:
    given = {"name": "mlp", "epochs": 3, "minutes": 1.0, "data": "synthetic", "device": "cpu"} | asked
    *_, last = reproduce_baseline(BaselineRequest(folder=folder, **given))  # type: ignore[arg-type]
    assert isinstance(last, BaselineUnfinished)
    return last


def test_minutes_beside_epochs_are_those_of_one_start(call: Call, tmp_path: Path, pool: ScriptedPool) -> None:
    words = ("baseline", "mlp", "--epochs", 3, "--minutes", 1, "--data", "synthetic", "--device", "cpu")
    code, output, errors = call(*words, "--runs", tmp_path, "--json")
    assert (code, json.loads(output)) == (0, {"baseline": "mlp", "epochs_done": 1, "epochs": 3})
    assert "1 of 3 epochs are done, the test set stays closed" in errors
    assert "go on with: cifar-search baseline mlp --epochs 3 --minutes 1" in errors
    code, output, _ = call(*words, "--runs", tmp_path)
    assert code == 0
    assert "goes on from its checkpoint after epoch 1\nepoch 2/3" in output
    assert pool.left == 2  # the slot was asked to keep what it had done
    assert openings(storage_url(tmp_path, None), test=synthetic.test().fingerprint, training="") == ()


def test_another_recipe_seed_length_or_other_images_begin_anew(
    tmp_path: Path, pool: ScriptedPool, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = [{}, {"seed": 1}, {"epochs": 4}, {"name": "seed002"}, {}]
    assert [start(tmp_path, **other).done for other in asked] == [1, 1, 1, 1, 2]
    mended = replace(find_baseline("mlp"), values=find_baseline("mlp").values | {"recipe.batch_size": 64})
    with monkeypatch.context() as patch:
        patch.setattr(baseline, "find_baseline", lambda _: mended)
        assert start(tmp_path).done == 1
    other = replace(images, pixels=images.pixels.flip(0))
    monkeypatch.setattr(synthetic, "training", lambda: other)
    assert start(tmp_path).done == 1
