"""What a slot does with one job: train a candidate, telling each step as an event."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch._dynamo  # torch would do so in the first step of every slot, in 3 to 7 seconds; here all slots share it
from safetensors.torch import save

from search.data import split, store
from search.data.store import Store
from search.files import write_whole
from search.measuring.latency import latency_ms
from search.measuring.throughput import images_per_second
from search.networks.blocks import NetworkError
from search.networks.build import build
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Began, Event, Failed, Finished, Job, Leaving, Left, Outcome, Run, Setting, Speed, Unsaved
from search.training.checkpoint import CheckpointError, pack, unpack
from search.training.compiling import compiled
from search.training.train import DivergedError, Training, train

SHARE = 0.02  # of the time in training that may go into checkpoints
LEAST_COST = 0.02  # seconds of the smallest checkpoint on a slow disk: until one is measured
PACE = 100e6  # bytes a second that a slow core packs, hashes and writes: likewise

# Audit events, so that a test can end the process there: cifar_search.slot.began, cifar_search.slot.answered.


def work(setting: Setting) -> Run:
    """A slot's own: torch with its threads, the data on its device."""
    torch.set_num_threads(setting.threads)
    torch.backends.cudnn.benchmark = True  # a training has one shape, so that looking for its fastest kernel pays
    bench = Bench(setting=setting)

    def run(job: Job, leaving: Leaving) -> Iterator[Event]:
        return run_job(job, bench, leaving)

    return run


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


def run_job(job: Job, bench: Bench, leaving: Leaving) -> Iterator[Event]:
    """The events of a job; every fault that a candidate can cause becomes a Failed, never an exception."""
    try:
        yield from _run(job, bench, leaving)
    except UnsavedError as error:
        yield Unsaved(message=str(error))
    except DivergedError as error:
        yield Failed(outcome="diverged", message=str(error))
    except NetworkError as error:
        yield Failed(outcome="infeasible", message=str(error))
    except Exception as error:
        outcome: Outcome = "out-of-memory" if is_out_of_memory(error) else "crashed"
        yield Failed(outcome=outcome, message=_first_line(error), trace=traceback.format_exc())


def _run(job: Job, bench: Bench, leaving: Leaving) -> Iterator[Event]:
    data = bench.store(on_all=job.on_all, images=job.images)
    precision = bench.setting.precision
    if job.epochs is None:
        yield Speed(images_per_second=images_per_second(job.candidate, store=data, precision=precision))
        return
    latency = latency_ms(job.candidate.architecture, store=data, precision=precision) if job.latency else None
    if latency is not None and job.most_latency is not None and latency > job.most_latency:
        message = f"over the limit of the space: latency_ms {latency:.3g}"
        yield Failed(outcome="infeasible", message=message, latency_ms=latency)
        return
    if data.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(data.device)
    shelf = CheckpointStore(job.shelf) if job.shelf else None
    training, rejected = _take_up(job, shelf, data=data, epochs=job.epochs, setting=bench.setting)
    checkpoints = Checkpoints.of(training, shelf=shelf, identity=identity(job))
    step_before, seconds_before = training.step, training.seconds
    yield Began(epoch=training.epoch, step=training.step, rejected=rejected, latency_ms=latency)
    sys.audit("cifar_search.slot.began")
    for result in train(training):
        if result is not None:
            yield result
            # Only an epoch that was heard of may lie behind a checkpoint: going on from there would not tell it again.
            sys.audit("cifar_search.slot.answered")
            if result.epoch < result.epochs and checkpoints.affordable(training.seconds - seconds_before):
                checkpoints.save(training)
        if leaving():
            checkpoints.save(training)
            yield Left()
            return
    checkpoint_sha256 = checkpoints.finish(training)
    weights_sha256 = _save(training.network, job, data) if job.weights else None
    steps, seconds = training.step - step_before, training.seconds - seconds_before
    yield Finished(
        seconds=seconds,
        images_per_second=len(data.training) * steps / training.steps / seconds if steps else None,
        peak_memory_mb=torch.cuda.max_memory_allocated(data.device) / 2**20 if data.device.type == "cuda" else None,
        weights_sha256=weights_sha256,
        checkpoint_sha256=checkpoint_sha256,
    )


def _take_up(
    job: Job, shelf: CheckpointStore | None, *, data: Store, epochs: int, setting: Setting
) -> tuple[Training, tuple[str, ...]]:
    """The training from its newest good checkpoint or from its beginning; and what was wrong with newer ones."""

    def fresh() -> Training:
        classes = len(data.training.classes)
        network = build(job.candidate.architecture, classes=classes, seed=job.seed, device=data.device)
        network = compiled(network, setting.compile)
        recipe = job.candidate.recipe
        return Training(network, recipe=recipe, store=data, epochs=epochs, seed=job.seed, precision=setting.precision)

    if shelf is None:
        return fresh(), ()
    rejected: list[str] = []
    for path in shelf.newest_first():
        training = fresh()
        try:
            training.load(unpack(shelf.read(path), identity=identity(job)))
            if job.reported is not None and training.epoch > job.reported:  # a report was lost: it must be told again
                raise CheckpointError(f"it lies beyond epoch {job.reported}, the last one that is known")
        except Exception as error:  # of whatever kind: no file may keep the training from going on without it
            rejected.append(f"{path.name}: {_first_line(error)}")
        else:
            return training, tuple(rejected)
    return fresh(), tuple(rejected)


def identity(job: Job) -> str:
    """What a checkpoint must be of for the job to go on from it: a SHA-256 of all that its numbers depend on."""
    parts = job.candidate.as_dict(), job.seed, job.epochs, job.images, job.on_all
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class UnsavedError(RuntimeError):
    """What was trained could not be written."""


@dataclass(kw_only=True)
class Checkpoints:
    """The checkpoints of one training as it goes on; without a shelf none are kept."""

    shelf: CheckpointStore | None
    identity: str
    place: tuple[int, int]  # epoch and step of what is on the shelf, or of the beginning
    cost: float  # seconds of the last one, at first an estimate
    spent: float = 0.0  # seconds of all

    @classmethod
    def of(cls, training: Training, *, shelf: CheckpointStore | None, identity: str) -> Checkpoints:
        """Those of a training that was just begun or taken up."""
        weights = sum(tensor.nbytes for tensor in training.network.state_dict().values())
        cost = LEAST_COST + 4 * weights / PACE  # beside them lie their average and up to two moments of the optimiser
        return cls(shelf=shelf, identity=identity, place=(training.epoch, training.step), cost=cost)

    def affordable(self, seconds: float) -> bool:
        """Whether one more stays within its share of so many seconds in training."""
        return self.spent + self.cost <= SHARE * seconds

    def save(self, training: Training) -> None:
        """Keep the training as it is now, if anything was done since the last time. Raises UnsavedError."""
        place = training.epoch, training.step
        if self.shelf is None or place == self.place:
            return
        start = time.perf_counter()
        with _writing(self.shelf.folder):
            self.shelf.save(training.step, pack(training.state(), identity=self.identity))
        self.place, self.cost = place, time.perf_counter() - start
        self.spent += self.cost

    def finish(self, training: Training) -> str | None:
        """Keep what the end of the training needs, in place of all before; its SHA-256. Raises UnsavedError."""
        if self.shelf is None:
            return None
        with _writing(self.shelf.folder):
            return self.shelf.finish(pack(training.state(), identity=self.identity))


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Tell the faults of a disk from those of a candidate."""
    try:
        yield
    except OSError as error:
        path = Path(error.filename or place)
        folder = next(folder for folder in path.absolute().parents if folder.is_dir())
        free = shutil.disk_usage(folder).free / 1e6
        raise UnsavedError(f"cannot write {path}: {error.strerror}; {free:,.1f} MB are free there") from error


def _save(network: torch.nn.Module, job: Job, data: Store) -> str:
    """Weights as safetensors, with a JSON beside them that says all one needs to use them; returns their SHA-256."""
    assert job.weights is not None
    tensors = save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})
    sha256 = hashlib.sha256(tensors).hexdigest()
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
    with _writing(job.weights):
        job.weights.parent.mkdir(parents=True, exist_ok=True)
        write_whole(job.weights, tensors)
        write_whole(job.weights.with_suffix(".json"), (json.dumps(about, indent=2) + "\n").encode())
    return sha256


def is_out_of_memory(error: Exception) -> bool:
    """torch names it on a GPU; its CPU allocator raises a plain RuntimeError."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
