"""A tiny job, and what runs it in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from search.candidate import Candidate, Cnn, Recipe
from search.slots.job import Event, Job, SlotSettings
from search.slots.job_runner import run_job


@pytest.fixture(scope="session")
def tiny_job() -> Job:
    """Three epochs of four steps."""
    architecture = Cnn(stages=2, width=(4, 8), pool=3, dropout=0.1, hidden_layers=0)
    candidate = Candidate(architecture=architecture, recipe=Recipe(batch_size=20, mixup=0.2, cutout=4))
    return Job(name="a test", candidate=candidate, seed=7, epochs=3, images=80)


@pytest.fixture
def job(tiny_job: Job, tmp_path: Path) -> Job:
    return replace(tiny_job, weights=tmp_path / "weights" / "w.safetensors", checkpoints=tmp_path / "checkpoints")


@pytest.fixture(scope="module")
def run(slot_settings: SlotSettings) -> Callable[..., list[Event]]:
    """Runs a job; `looks` of 5 an epoch, one after each step and one after the answer, and at that one it is paused."""

    def run(job: Job, looks: float = float("inf"), **changes: object) -> list[Event]:
        counter = itertools.count(1)
        settings = replace(slot_settings, **changes)  # type: ignore[arg-type]
        return list(run_job(job, lambda: next(counter) >= looks, settings=settings))

    return run
