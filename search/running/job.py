"""What a slot does with one job: train a candidate, telling each step as an event."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file

from search.candidate import Candidate
from search.data import split, store
from search.data.sources import Source
from search.data.store import Store
from search.networks.blocks import NetworkError
from search.networks.build import build
from search.training.precision import Precision
from search.training.throughput import images_per_second
from search.training.train import DivergedError, EpochResult, train

LEAST_PATIENCE = 300.0  # seconds

Outcome = Literal["diverged", "out-of-memory", "crashed", "hung", "infeasible"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a slot keeps from job to job."""

    source: Source
    split: Path | None  # the file of the split; without one, every training image is trained on
    device: str
    threads: int
    precision: Precision


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training; without a length only the speed of it is measured."""

    name: str  # for messages: "trial 7"
    candidate: Candidate
    number: int = 0  # the trial's
    seed: int = 0
    epochs: int | None = None
    images: int | None = None  # train on so many, equally many of each class; on all of its part if None
    on_all: bool = False  # train on the validation part too
    weights: Path | None = None  # where the trained weights go
    patience: float = LEAST_PATIENCE  # seconds without an event before the slot counts as hung


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a candidate trains here."""

    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The training ran to its end."""

    seconds: float
    images_per_second: float
    memory_mb: float | None  # peak on the GPU
    weights_sha256: str | None

    def numbers(self) -> dict[str, float]:
        """What is worth a column beside the accuracy."""
        found = {"images_per_second": self.images_per_second, "memory_mb": self.memory_mb}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The training ended early, for a reason with a name."""

    outcome: Outcome
    message: str
    trace: str = ""


Event = EpochResult | Speed | Finished | Failed


@dataclass
class Bench:
    """The data of a slot, loaded once and kept on its device."""

    setting: Setting
    _stores: dict[tuple[bool, int | None], Store] = field(default_factory=dict)

    def store(self, *, on_all: bool, images: int | None = None) -> Store:
        if (on_all, images) not in self._stores:
            parts = split.load(self.setting.split) if self.setting.split and not on_all else None
            loaded = self.setting.source.training()
            device = torch.device(self.setting.device)
            self._stores[on_all, images] = store.store(loaded, split=parts, device=device, most=images)
        return self._stores[on_all, images]


def run_job(job: Job, bench: Bench) -> Iterator[Event]:
    """The events of a job; every fault that a candidate can cause becomes a Failed, never an exception."""
    try:
        yield from _run(job, bench)
    except DivergedError as error:
        yield Failed(outcome="diverged", message=str(error))
    except NetworkError as error:
        yield Failed(outcome="infeasible", message=str(error))
    except Exception as error:
        outcome: Outcome = "out-of-memory" if is_out_of_memory(error) else "crashed"
        yield Failed(outcome=outcome, message=_first_line(error), trace=traceback.format_exc())


def _run(job: Job, bench: Bench) -> Iterator[Event]:
    data = bench.store(on_all=job.on_all, images=job.images)
    precision = bench.setting.precision
    if job.epochs is None:
        yield Speed(images_per_second=images_per_second(job.candidate, store=data, precision=precision))
        return
    if data.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(data.device)
    network = build(job.candidate.architecture, classes=len(data.training.classes), seed=job.seed, device=data.device)
    seconds = 0.0
    for result in train(
        network, recipe=job.candidate.recipe, store=data, epochs=job.epochs, seed=job.seed, precision=precision
    ):
        seconds += result.seconds
        yield result
    yield Finished(
        seconds=seconds,
        images_per_second=len(data.training) * job.epochs / seconds,
        memory_mb=torch.cuda.max_memory_allocated(data.device) / 2**20 if data.device.type == "cuda" else None,
        weights_sha256=_save(network, job, data) if job.weights else None,
    )


def _save(network: torch.nn.Module, job: Job, data: Store) -> str:
    """Weights as safetensors, with a JSON beside them that says all one needs to use them; returns their SHA-256."""
    assert job.weights is not None
    job.weights.parent.mkdir(parents=True, exist_ok=True)
    partial = job.weights.with_suffix(".partial")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}, partial)
    sha256 = hashlib.sha256(partial.read_bytes()).hexdigest()
    partial.replace(job.weights)
    about = {
        "format": 1,
        "weights": job.weights.name,
        "sha256": sha256,
        **job.candidate.as_dict(),
        "classes": list(data.training.classes),
        "input": "float32 [N, 3, 32, 32], RGB, (pixel - mean) / std with pixels 0..255",
        "mean": data.mean.tolist(),
        "std": data.std.tolist(),
        "output": "logits [N, classes]",
        "seed": job.seed,
        "epochs": job.epochs,
    }
    job.weights.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return sha256


def is_out_of_memory(error: Exception) -> bool:
    """torch names it on a GPU; its CPU allocator raises a plain RuntimeError."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
