"""Which device, how many slots on it, and what a first line says about it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from search.data.sources import Source
from search.errors import UserError
from search.slots.job import Setting
from search.training.compiling import Mode, obstacle
from search.training.precision import Precision, best_precision

MOST_CPU_SLOTS = 4  # a slot holds the data in its own memory: 0.3 GB of pixels, 1 GB with torch


class DeviceError(UserError):
    """A device that is not there, or more slots than it can serve."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where trainings run: `slots` of them at a time, each with `threads` CPU threads."""

    kind: str  # cuda or cpu
    name: str
    gpus: int
    cores: int
    slots: int
    threads: int
    precision: Precision

    @property
    def device(self) -> torch.device:
        """Where a single training runs: the first GPU, or the CPU."""
        return torch.device("cuda:0" if self.gpus else "cpu")

    @property
    def title(self) -> str:
        """For the first line of a run and for reports."""
        where = f"{self.gpus} x {self.name}" if self.gpus > 1 else self.name
        slots = f"{self.slots} slot{'s' * (self.slots > 1)} of {self.threads} thread{'s' * (self.threads > 1)}"
        return f"{where}, {slots}, {self.precision}"

    def settings(self, source: Source, *, split: Path | None, compile: Mode | None = None) -> list[Setting]:
        """What each slot needs to know; GPUs are dealt out in turn. Raises DeviceError where nothing can compile."""
        if compile and (problem := obstacle(compile, device=torch.device(self.kind))):
            raise DeviceError(problem)
        return [
            Setting(
                source=source,
                split=split,
                device=f"cuda:{index % self.gpus}" if self.gpus else "cpu",
                threads=self.threads,
                precision=self.precision,
                compile=compile,
            )
            for index in range(self.slots)
        ]

    def for_jobs(self, jobs: int) -> Machine:
        """The same machine with no more slots than jobs, the threads shared among them."""
        return self.with_slots(min(self.slots, jobs))

    def with_slots(self, slots: int) -> Machine:
        """The same machine with so many slots, the threads shared among them."""
        return replace(self, slots=slots, threads=max(1, self.cores // slots))


def survey(device: str | None = None, *, slots: int | None = None) -> Machine:
    """CUDA if it is there, the CPU otherwise, unless `device` (cpu or cuda) says which. Raises DeviceError."""
    if device not in (None, "cpu", "cuda"):
        raise DeviceError(f"device {device!r} is not known; known: cpu, cuda")
    if slots is not None and slots < 1:
        raise DeviceError(f"a run needs at least 1 slot, not {slots}")
    gpus = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    if device == "cuda" and not gpus:
        raise DeviceError("there is no CUDA device here; leave --device out to use the CPU")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = slots or gpus or min(cores, MOST_CPU_SLOTS)
    return Machine(
        kind="cuda" if gpus else "cpu",
        name=torch.cuda.get_device_name(0) if gpus else f"CPU with {cores} core{'s' * (cores > 1)}",
        gpus=gpus,
        cores=cores,
        slots=count,
        threads=max(1, cores // count),
        precision=best_precision(torch.device("cuda:0" if gpus else "cpu")),
    )
