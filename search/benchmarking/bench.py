"""How fast this machine trains the shipped families, and how long a training takes to reach an accuracy."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from search.candidate import Fast, from_values
from search.data.sources import find_source
from search.data.split import standard_split
from search.data.store import Store, store
from search.errors import UsageError
from search.measuring import compilation, dataloader_baseline
from search.measuring.compilation import Compilation
from search.measuring.dataloader_baseline import LoaderComparison
from search.measuring.throughput import Throughput, compare
from search.networks.build import build, fetch_weights
from search.networks.weights import WeightsError
from search.pictures import Progress
from search.planning.catalogue import load
from search.slots.machine import DeviceError, Machine, survey
from search.training.compiling import Mode, obstacle
from search.training.evaluate import evaluate
from search.training.train import Training, train
from spaces import Space

SPACES = ("fast", "cnn", "residual", "cell", "mlp", "transfer")  # one of each family
PROXY = Fast(width=(32, 64, 64), depth=(2, 2, 2), kernel=(3, 3, 3))  # of airbench96, by which machines are compared
IMAGES, VALIDATION_IMAGES = 45_000, 5_000  # of the official training set in the standard split


@dataclass(frozen=True, kw_only=True)
class KnownTraining:
    """A complete training of a shipped baseline that has reached an accuracy."""

    space: str
    baseline: str
    epochs: int


TARGETS = (70, 80, 90, 94)  # percent on the validation images
REACHED = {
    70: KnownTraining(space="fast", baseline="sprint", epochs=1),
    80: KnownTraining(space="fast", baseline="sprint", epochs=1),
    90: KnownTraining(space="fast", baseline="airbench-muon", epochs=11),
}
"""The shortest training measured for each of these targets (studies/results/LOG.md, 10); none is known for 94 %."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """One training to a target, measured from a cold start."""

    target: int  # percent
    training: KnownTraining
    accuracy: float  # of the validation images, after the last epoch
    met: bool
    seconds: float  # including building and fitting the network, and one evaluation at the end


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
    progress: Progress | None = None,
) -> BenchResult:
    """Measure what is asked for, the cold starts to `targets` (percent) first; every family if nothing is.

    `usual` compares with a DataLoader. Raises DataError, DeviceError, SpaceError, UsageError.
    """
    machine = survey(device, slots=1)
    loaded = {name: load(name) for name in spaces or (() if targets or usual else SPACES)}
    if unknown := set(targets) - REACHED.keys():
        known = f"{min(unknown)} % validation accuracy; measured: {', '.join(map(str, REACHED))}"
        raise UsageError(f"no length of a training is measured for {known}")
    if compile and (reason := obstacle(compile, device=machine.device)):
        raise DeviceError(reason)
    torch.set_num_threads(machine.threads)
    torch.backends.cudnn.benchmark = True  # as in a slot
    images = find_source(data, progress=progress).training()
    ready = store(images, split=standard_split(images, seed=0), device=machine.device)
    fast = from_values(load("fast").baselines[0].values)
    reached = tuple(reach(target, store=ready, machine=machine) for target in targets)
    proxies = (replace(fast, architecture=PROXY), fast) if usual else ()
    beside = tuple(dataloader_baseline.measure(each, store=ready, precision=machine.precision) for each in proxies)
    rows = tuple(_speed(name, space, ready, machine, compile) for name, space in loaded.items())
    times = estimates(rows)
    return BenchResult(machine=machine.title, spaces=rows, estimated_seconds=times, reached=reached, dataloader=beside)


def reach(target: int, *, store: Store, machine: Machine) -> Reach:
    """Train from nothing as the target's training says, whether or not it is met."""
    known, images, precision = REACHED[target], store.validation, machine.precision
    assert images  # the standard split has some
    values = next(each.values for each in load(known.space).baselines if each.name == known.baseline)
    candidate, start = from_values(values), time.perf_counter()
    network = build(candidate.architecture, images=store.training.shape, seed=0, device=store.device)
    alone = replace(store, validation=None)  # only the end is asked for: no epoch before it is evaluated
    recipe, epochs = candidate.recipe, known.epochs
    for _ in train(Training(network, recipe=recipe, store=alone, epochs=epochs, seed=0, precision=precision)):
        pass
    accuracy = evaluate(network, images, store=store, precision=precision).accuracy
    seconds = time.perf_counter() - start
    return Reach(target=target, training=known, accuracy=accuracy, met=100 * accuracy >= target, seconds=seconds)


def estimates(rows: Iterable[SpaceSpeed]) -> dict[int, float | None]:
    """Seconds to each target on CIFAR-10, with one evaluation, where the speed of its space and baseline is known."""
    speeds = {(row.space, row.baseline): row.throughput for row in rows}
    seconds: dict[int, float | None] = dict.fromkeys(TARGETS)
    for target, known in REACHED.items():
        if speed := speeds.get((known.space, known.baseline)):
            evaluating = VALIDATION_IMAGES / speed.evaluation_images_per_second
            seconds[target] = known.epochs * IMAGES / speed.images_per_second + evaluating
    return seconds


def _speed(name: str, space: Space, ready: Store, machine: Machine, mode: Mode | None) -> SpaceSpeed:
    if not space.baselines:
        return SpaceSpeed(space=name, why_not="the space has no baseline")
    baseline, precision = space.baselines[0], machine.precision
    candidate = from_values(baseline.values)
    try:
        fetch_weights(candidate.architecture, download=False)  # a benchmark downloads nothing
    except WeightsError as error:
        return SpaceSpeed(space=name, baseline=baseline.name, why_not=str(error))
    throughput = compare(candidate, store=ready, precision=precision)
    compiled = compilation.measure(candidate, store=ready, precision=precision, mode=mode) if mode else None
    return SpaceSpeed(space=name, baseline=baseline.name, throughput=throughput, compilation=compiled)
