"""The latency of a network is measured on the slot before its training, and a slow one is not trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.candidate import Candidate, Cnn, Recipe
from search.measuring.latency import latency_ms
from search.slots.job import Began, Failed, Finished, Job, SlotSettings
from search.slots.job_runner import load_images, run_job

SMALL = Cnn(stages=2, width=(4, 8), pool=(3, 3), hidden_layers=0)
LARGE = Cnn(stages=1, width=(256,), depth=(3,), hidden_layers=0)


@pytest.fixture
def job() -> Job:
    candidate = Candidate(architecture=SMALL, recipe=Recipe(batch_size=20))
    return Job(name="a test", candidate=candidate, epochs=1, images=40, latency=True)


def test_a_larger_network_takes_longer(slot_settings: SlotSettings) -> None:
    store = load_images(slot_settings, images=40)
    small, large = (latency_ms(network, store=store, precision="float32") for network in (SMALL, LARGE))
    assert 0 < 3 * small < large < 10_000


def test_it_is_told_when_the_training_begins_and_only_where_it_was_asked_for(
    slot_settings: SlotSettings, job: Job
) -> None:
    began, *_, last = run_job(job, lambda: False, settings=slot_settings)
    assert isinstance(began, Began)
    assert began.latency_ms is not None
    assert isinstance(last, Finished)
    (unasked, *_) = run_job(replace(job, latency=False), lambda: False, settings=slot_settings)
    assert isinstance(unasked, Began)
    assert unasked.latency_ms is None


def test_a_network_over_the_limit_is_not_trained_and_says_by_how_much(
    slot_settings: SlotSettings, job: Job, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    (failed,) = run_job(replace(job, most_latency=1e-6, checkpoints=folder), lambda: False, settings=slot_settings)
    assert isinstance(failed, Failed)
    assert failed.outcome == "infeasible"
    assert failed.latency_ms is not None
    assert failed.latency_ms > 1e-6
    assert failed.message.startswith("over the limit of the space: latency_ms")
    assert not folder.exists()
