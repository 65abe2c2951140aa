"""How fast this machine trains the shipped families, beside a bare loop over ready tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from search.benchmarking.time_to_accuracy import IMAGES, Estimate, Reach, estimates, reach, way_to
from search.candidate import Candidate, Fast, from_values
from search.data.sources import find_source
from search.data.split import usual as usual_split
from search.data.store import Store, store
from search.measuring import dataloader_baseline as usual
from search.measuring.dataloader_baseline import LoaderComparison
from search.measuring.throughput import Throughput, compare
from search.networks.build import fetch_weights
from search.networks.weights import WeightsError
from search.planning.catalogue import load
from search.slots.machine import DeviceError, Machine, survey
from search.training import compiling
from search.training.compiling import Compilation, Mode
from search.training.precision import Precision
from spaces import Space

SPACES = ("fast", "cnn", "residual", "cell", "mlp", "transfer")  # one of each family
PROXY = Fast(width=(32, 64, 64), depth=(2, 2, 2), kernel=(3, 3, 3))  # of airbench96, by which machines are compared


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to measure; the families only where nothing else is asked for."""

    spaces: tuple[str, ...] = ()
    reach: tuple[int, ...] = ()  # percent
    usual: bool = False
    compile: Mode | None = None
    data: str | None = None
    device: str | None = None

    @property
    def families(self) -> tuple[str, ...]:
        """Spaces, each once."""
        every = () if self.reach or self.usual else SPACES
        return tuple(dict.fromkeys(self.spaces)) or every


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """The first baseline of a space on this machine, one training with all its threads."""

    space: str
    baseline: str | None
    throughput: Throughput | None
    why_not: str | None = None  # where it was not measured
    compilation: Compilation | None = None

    def as_json(self) -> dict[str, Any]:
        """What `bench --json` prints of it; null where nothing was measured."""
        found = self.throughput
        return {
            "baseline": self.baseline,
            "images_per_second": found and found.images_per_second,
            "bare_images_per_second": found and found.bare_images_per_second,
            "share_of_bare_loop": found and found.share_of_bare_loop,
            "augmentation_share": found and found.augmentation_share,
            "evaluation_images_per_second": found and found.evaluation_images_per_second,
            **({"why_not": self.why_not} if self.why_not else {}),
            **({"compile": _compilation(self.compilation)} if self.compilation else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was measured on one machine."""

    machine: str
    rows: tuple[BenchRow, ...]
    reached: tuple[Reach, ...]
    usual: dict[str, LoaderComparison]  # by network
    estimates: tuple[Estimate, ...]

    def as_json(self) -> dict[str, Any]:
        """An object by space; estimates are in that of their training, what was asked for besides is by its option."""
        found: dict[str, Any] = {row.space: {"machine": self.machine, **row.as_json()} for row in self.rows}
        for space, row in found.items():
            seconds = {
                each.target: each.seconds for each in self.estimates if each.way is None or each.way.space == space
            }
            if any(seconds.values()):
                row["estimated_seconds_to"] = seconds
        if self.reached:
            found["reach"] = {each.target: {**asdict(each), "met": each.met} for each in self.reached}
        if self.usual:
            found["usual"] = {name: {**asdict(each), "ratio": each.ratio} for name, each in self.usual.items()}
        return found


def bench(request: Request) -> Findings:
    """Measure what is asked for, the cold starts first. Raises DataError, DeviceError, ReachError, SpaceError."""
    machine = survey(request.device, slots=1)
    spaces = {name: load(name) for name in request.families}
    for target in request.reach:
        way_to(target)
    if request.compile and (reason := compiling.obstacle(request.compile, device=machine.device)):
        raise DeviceError(reason)
    torch.set_num_threads(machine.threads)
    torch.backends.cudnn.benchmark = True  # as a slot has it
    images = find_source(request.data).training()
    ready = store(images, split=usual_split(images.labels, seed=0), device=machine.device)
    reached = tuple(reach(target, store=ready, precision=machine.precision) for target in request.reach)
    beside = dict(_usual(ready, machine.precision)) if request.usual else {}
    rows = tuple(_row(name, space, ready, machine, request.compile) for name, space in spaces.items())
    speeds = {(row.space, row.baseline): row.throughput for row in rows if row.baseline and row.throughput}
    return Findings(machine=machine.title, rows=rows, reached=reached, usual=beside, estimates=estimates(speeds))


def _row(name: str, space: Space, ready: Store, machine: Machine, mode: Mode | None) -> BenchRow:
    if not space.baselines:
        return BenchRow(space=name, baseline=None, throughput=None, why_not="the space has no baseline")
    baseline = space.baselines[0]
    candidate, precision = from_values(baseline.values), machine.precision
    if reason := _missing_weights(candidate):
        return BenchRow(space=name, baseline=baseline.name, throughput=None, why_not=reason)
    throughput = compare(candidate, store=ready, precision=precision)
    compilation = compiling.measure(candidate, store=ready, precision=precision, mode=mode) if mode else None
    return BenchRow(space=name, baseline=baseline.name, throughput=throughput, compilation=compilation)


def _missing_weights(candidate: Candidate) -> str | None:
    """A benchmark downloads nothing."""
    try:
        fetch_weights(candidate.architecture, download=False)
    except WeightsError as error:
        return str(error)
    return None


def _usual(ready: Store, precision: Precision) -> Iterator[tuple[str, LoaderComparison]]:
    baseline = load("fast").baselines[0]
    candidate = from_values(baseline.values)
    networks = {PROXY.title: replace(candidate, architecture=PROXY), baseline.name: candidate}
    for name, each in networks.items():
        yield name, usual.measure(each, store=ready, precision=precision)


def _compilation(found: Compilation) -> dict[str, Any]:
    images = found.pays_after
    epochs = None if images is None else images / IMAGES
    return {**asdict(found), "pays_after_images": images, "pays_after_epochs": epochs}
