"""How fast this machine trains the shipped families, beside a bare loop over ready tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from search.candidate import from_values
from search.data.sources import find_source
from search.data.split import usual
from search.data.store import store
from search.running.known import load
from search.running.machine import survey
from search.training.throughput import Throughput, compare

SPACES = ("fast", "cnn")  # the first baseline of each is measured


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One family on this machine, one training with all its threads."""

    space: str
    baseline: str
    machine: str
    throughput: Throughput

    def as_json(self) -> dict[str, Any]:
        """What `bench --json` prints of it."""
        return {
            "baseline": self.baseline,
            "machine": self.machine,
            **asdict(self.throughput),
            "share_of_bare_loop": self.throughput.share_of_bare_loop,
        }


def bench(*, data: str | None = None, device: str | None = None) -> Iterator[BenchRow]:
    """Measure each family in turn. Raises DataError, DeviceError."""
    machine = survey(device, slots=1)
    torch.set_num_threads(machine.threads)
    images = find_source(data).training()
    split = usual(images.labels, seed=0)
    ready = store(images, split=split, device=torch.device("cuda:0" if machine.gpus else "cpu"))
    for name in SPACES:
        baseline = load(name).baselines[0]
        throughput = compare(from_values(baseline.values), store=ready, precision=machine.precision)
        yield BenchRow(space=name, baseline=baseline.name, machine=machine.title, throughput=throughput)
