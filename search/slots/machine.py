"""The device, the number of slots on it, and what each slot needs to know."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from search.container import Container
from search.data.sources import Source
from search.errors import UsageError
from search.slots.job import SlotSettings
from search.text import plural
from search.training.compiling import Mode, obstacle
from search.training.precision import Precision, best_precision

THREADS = "OMP_NUM_THREADS"  # environment: how many threads a person allows a process
MOST_CPU_SLOTS = 4  # a slot holds the data in its own memory: 0.3 GB of pixels, 1 GB with torch


class DeviceError(UsageError):
    """A device that does not exist, or more slots than it can serve."""


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
    limit: str = ""  # of the cores, where a container has one
    most_threads: int = sys.maxsize  # that a person allows a slot

    @property
    def device(self) -> torch.device:
        """Where a single training runs: the first GPU, or the CPU."""
        return torch.device("cuda:0" if self.gpus else "cpu")

    @property
    def title(self) -> str:
        """For the first line of a run and for reports."""
        name = f"{self.gpus} x {self.name}" if self.gpus > 1 else self.name
        limited = self.threads == self.most_threads < self.cores // self.slots
        threads = plural(self.threads, "thread") + f" by {THREADS}" * limited
        return f"{name}{self.limit}, {plural(self.slots, 'slot')} of {threads}, {self.precision}"

    def settings(self, source: Source, *, split: Path | None, compile: Mode | None = None) -> list[SlotSettings]:
        """The settings of each slot; GPUs are dealt out in turn. Raises DeviceError if nothing can be compiled here."""
        if compile and (problem := obstacle(compile, device=torch.device(self.kind))):
            raise DeviceError(problem)
        devices = [f"cuda:{index % self.gpus}" if self.gpus else "cpu" for index in range(self.slots)]
        settings = partial(SlotSettings, source=source, split=split, threads=self.threads, precision=self.precision)
        return [settings(device=device, compile=compile) for device in devices]

    def with_slots(self, slots: int) -> Machine:
        """The same machine with this many slots, which share its threads."""
        return replace(self, slots=slots, threads=min(max(1, self.cores // slots), self.most_threads))


def survey(device: str | None = None, *, slots: int | None = None) -> Machine:
    """CUDA if there is a GPU, else the CPU, unless `device` (cpu or cuda) says which. Raises DeviceError."""
    if device not in (None, "cpu", "cuda"):
        raise DeviceError(f"device {device!r} is not known; known: cpu, cuda")
    if slots is not None and slots < 1:
        raise DeviceError(f"a run needs at least 1 slot, not {slots}")
    gpus = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    if device == "cuda" and not gpus:
        raise DeviceError("there is no CUDA device here; leave --device out to use the CPU")
    cores, whole = Container().cores()
    limit = f" with {cores} of {whole} cores, by the container's limit" if cores < whole else ""
    allowed = re.match(r"\s*0*([1-9][0-9]{0,5})\s*(,|$)", os.environ.get(THREADS, ""))  # of 4,2 the first is meant
    machine = Machine(
        kind="cuda" if gpus else "cpu",
        name=torch.cuda.get_device_name(0) if gpus else "CPU" if limit else f"CPU with {plural(cores, 'core')}",
        gpus=gpus,
        cores=cores,
        slots=1,
        threads=cores,
        precision=best_precision(torch.device("cuda:0" if gpus else "cpu")),
        limit=limit,
        most_threads=int(allowed[1]) if allowed else sys.maxsize,
    )
    return machine.with_slots(slots or gpus or min(cores, MOST_CPU_SLOTS))
