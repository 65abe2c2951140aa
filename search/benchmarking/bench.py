"""How fast this machine trains the shipped families, beside a bare loop over ready tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from search.benchmarking.time_to_accuracy import Reach, estimates, known_training, reach
from search.candidate import Candidate, Fast, from_values
from search.data.sources import find_source
from search.data.split import standard_split
from search.data.store import Store, store
from search.measuring import compilation, dataloader_baseline
from search.measuring.compilation import Compilation
from search.measuring.dataloader_baseline import LoaderComparison
from search.measuring.throughput import Throughput, compare
from search.networks.build import fetch_weights
from search.networks.weights import WeightsError
from search.planning.catalogue import load
from search.slots.machine import DeviceError, Machine, survey
from search.training.compiling import Mode, obstacle
from spaces import Space

SPACES = ("fast", "cnn", "residual", "cell", "mlp", "transfer")  # one of each family
PROXY = Fast(width=(32, 64, 64), depth=(2, 2, 2), kernel=(3, 3, 3))  # of airbench96, by which machines are compared


@dataclass(frozen=True, kw_only=True)
class SpaceSpeed:
    """The first baseline of a space on this machine, one training with all its threads."""

    space: str
    baseline: str | None = None
    throughput: Throughput | None = None
    why_not: str | None = None  # where it was not measured
    compilation: Compilation | None = None


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """What was measured on one machine."""

    machine: str
    spaces: tuple[SpaceSpeed, ...]
    estimated_seconds: dict[int, float | None]  # by target in percent
    reached: tuple[Reach, ...]
    dataloader: tuple[LoaderComparison, ...]


def bench(
    spaces: Sequence[str] = (),
    *,
    targets: Sequence[int] = (),
    usual: bool = False,
    compile: Mode | None = None,
    data: str | None = None,
    device: str | None = None,
) -> BenchResult:
    """Measure what is asked for, the cold starts to `targets` (percent) first; every family if nothing is.

    `usual` compares with a DataLoader. Raises DataError, DeviceError, ReachError, SpaceError.
    """
    machine = survey(device, slots=1)
    loaded = {name: load(name) for name in spaces or (() if targets or usual else SPACES)}
    for target in targets:
        known_training(target)
    if compile and (reason := obstacle(compile, device=machine.device)):
        raise DeviceError(reason)
    torch.set_num_threads(machine.threads)
    torch.backends.cudnn.benchmark = True  # as a slot has it
    images = find_source(data).training()
    ready = store(images, split=standard_split(images.labels, seed=0), device=machine.device)
    reached = tuple(reach(target, store=ready, precision=machine.precision) for target in targets)
    beside = _beside_dataloader(ready, machine) if usual else ()
    rows = tuple(_speed(name, space, ready, machine, compile) for name, space in loaded.items())
    speeds = {(row.space, row.baseline): row.throughput for row in rows if row.baseline and row.throughput}
    return BenchResult(
        machine=machine.title, spaces=rows, estimated_seconds=estimates(speeds), reached=reached, dataloader=beside
    )


def _speed(name: str, space: Space, ready: Store, machine: Machine, mode: Mode | None) -> SpaceSpeed:
    if not space.baselines:
        return SpaceSpeed(space=name, why_not="the space has no baseline")
    baseline, precision = space.baselines[0], machine.precision
    candidate = from_values(baseline.values)
    if reason := _missing_weights(candidate):
        return SpaceSpeed(space=name, baseline=baseline.name, why_not=reason)
    throughput = compare(candidate, store=ready, precision=precision)
    compiled = compilation.measure(candidate, store=ready, precision=precision, mode=mode) if mode else None
    return SpaceSpeed(space=name, baseline=baseline.name, throughput=throughput, compilation=compiled)


def _missing_weights(candidate: Candidate) -> str | None:
    """A benchmark downloads nothing."""
    try:
        fetch_weights(candidate.architecture, download=False)
    except WeightsError as error:
        return str(error)
    return None


def _beside_dataloader(ready: Store, machine: Machine) -> tuple[LoaderComparison, ...]:
    candidate = from_values(load("fast").baselines[0].values)
    networks = (replace(candidate, architecture=PROXY), candidate)
    return tuple(dataloader_baseline.measure(each, store=ready, precision=machine.precision) for each in networks)
