"""Runs one job in a slot: trains a candidate and yields an event for each step of it."""

import errno
import hashlib
import json
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import torch
import torch._dynamo  # or torch imports it in the first step of every slot, in 3 to 7 seconds; here all slots share it
from safetensors.torch import save

from search.data import split, store
from search.data.store import Store
from search.errors import first_line
from search.files import write_whole
from search.limits import shell_limit
from search.measuring.latency import latency_ms
from search.measuring.throughput import images_per_second
from search.networks.blocks import NetworkError
from search.networks.build import build, weights_sha256
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Began, Condition, Event, Failed, Finished, Job, Outcome, Paused, Run, SlotSettings, Unsaved
from search.training.checkpoint import CheckpointError, pack, unpack
from search.training.compiling import compiled
from search.training.train import DivergedError, Training, train

SHARE = 0.02  # of the training time that may go into checkpoints
MIN_COST = 0.02  # seconds of the smallest checkpoint on a slow disk; used until one is measured
WRITE_SPEED = 100e6  # bytes a second that a slow core packs, hashes and writes; used until one is measured


def work(settings: SlotSettings) -> Run:
    """Prepare this process as a slot."""
    torch.set_num_threads(settings.threads)
    torch.backends.cudnn.benchmark = True  # the shapes of a training stay the same, so the search for a kernel pays
    return partial(run_job, settings=settings)


@cache  # from job to job
def load_images(settings: SlotSettings, *, on_all: bool = False, images: int | None = None) -> Store:
    """The images of a slot's jobs, on its device."""
    parts, device = split.load(settings.split) if settings.split and not on_all else None, torch.device(settings.device)
    return store.store(settings.source.training(), split=parts, device=device, most=images)


def run_job(job: Job, should_pause: Condition, *, settings: SlotSettings) -> Iterator[Event]:
    """The events of a job; whatever a candidate can cause becomes a Failed, never an exception."""
    stepped = False

    def asked() -> bool:  # after every step
        nonlocal stepped
        stepped = True
        return should_pause()

    try:
        yield from _run(job, asked, settings)
    except UnsavedError as error:
        yield Unsaved(message=str(error))
    except (DivergedError, NetworkError) as error:
        yield Failed(outcome="diverged" if isinstance(error, DivergedError) else "infeasible", message=str(error))
    except Exception as error:
        # torch's CPU allocator raises a plain RuntimeError.
        memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
        message, trace = first_line(error), traceback.format_exc()
        outcome: Outcome = "out-of-memory" if memory else "crashed"
        yield Failed(outcome=outcome, message=message, trace=trace, at_start=not (memory or stepped))


def _run(job: Job, should_pause: Condition, settings: SlotSettings) -> Iterator[Event]:
    images = load_images(settings, on_all=job.on_all, images=job.images)
    precision = settings.precision
    if job.epochs is None:
        yield Finished(images_per_second=images_per_second(job.candidate, store=images, precision=precision))
        return
    latency = latency_ms(job.candidate.architecture, store=images, precision=precision) if job.latency else None
    if latency is not None and job.most_latency is not None and latency > job.most_latency:
        message = f"over the limit of the space: latency_ms {latency:.3g}"
        yield Failed(outcome="infeasible", message=message, latency_ms=latency)
        return
    cuda = images.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(images.device)
    store = CheckpointStore(job.checkpoints) if job.checkpoints else None
    training, rejected = _begin_or_resume(job, store, images, settings)
    checkpoints = Checkpoints(training, store=store, identity=identity(job))
    step_before, seconds_before = training.step, training.seconds
    yield Began(epoch=training.epoch, step=training.step, rejected=rejected, latency_ms=latency)
    for result in train(training):
        if result is not None:
            yield result
            # The answer came, so the result is stored: only now may a checkpoint lie beyond this epoch.
            if result.epoch < result.epochs and checkpoints.affordable():
                checkpoints.save()
        if should_pause():
            checkpoints.save()
            yield Paused()
            return
    checkpoint_sha256 = checkpoints.finish()
    weights_sha256 = _save_weights(training.network, job, images, seconds=training.seconds) if job.weights else None
    steps, seconds = training.step - step_before, training.seconds - seconds_before
    yield Finished(
        seconds=seconds,
        images_per_second=training.batch_size * steps / seconds if steps else None,
        peak_memory_mb=torch.cuda.max_memory_allocated(images.device) / 2**20 if cuda else None,
        weights_sha256=weights_sha256,
        checkpoint_sha256=checkpoint_sha256,
    )


def _begin_or_resume(
    job: Job, store: CheckpointStore | None, images: Store, settings: SlotSettings
) -> tuple[Training, tuple[str, ...]]:
    """The training from its newest good checkpoint or from its beginning; and what was wrong with newer ones."""

    def fresh() -> Training:
        assert job.epochs is not None
        recipe, precision, shape = job.candidate.recipe, settings.precision, images.training.shape
        network = build(job.candidate.architecture, images=shape, seed=job.seed, device=images.device)
        network = compiled(network, settings.compile)
        return Training(
            network,
            recipe=recipe,
            store=images,
            epochs=job.epochs,
            seed=job.seed,
            precision=precision,
            epoch_images=job.epoch_images,
            validated=job.validated,
        )

    def resumed(payload: bytes) -> Training:
        training = fresh()
        training.load(unpack(payload, identity=identity(job)))
        known = job.reported
        if known is not None and any(known < epoch <= training.epoch for epoch in training.validated):
            raise CheckpointError(f"it lies beyond epoch {known}, the last one that is known")  # a report was lost
        return training

    training, rejected = store.newest(resumed) if store else (None, ())
    return training or fresh(), rejected


def identity(job: Job) -> str:
    """A SHA-256 of all that the numbers of a job depend on: its checkpoints must have the same."""
    parts = [job.candidate.as_dict(), job.seed, job.epochs, job.images, job.epoch_images, job.on_all]
    parts += [weights_sha256(job.candidate.architecture)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class UnsavedError(RuntimeError):
    """A checkpoint or the weights could not be written."""


class Checkpoints:
    """Writes the checkpoints of one training; without a store none."""

    def __init__(self, training: Training, *, store: CheckpointStore | None, identity: str) -> None:
        self.training, self.store, self.identity = training, store, identity
        self.saved_at = training.epoch, training.step  # what the newest checkpoint holds
        self.seconds_before = training.seconds
        weights = sum(tensor.nbytes for tensor in training.network.state_dict().values())
        # Of the last checkpoint, in seconds. Beside the weights lie their average and up to two moments of each.
        self.cost: float = MIN_COST + 4 * weights / WRITE_SPEED
        self.total_cost = 0.0

    def affordable(self) -> bool:
        """Whether one more checkpoint stays within its share of the training time."""
        return self.total_cost + self.cost <= SHARE * (self.training.seconds - self.seconds_before)

    def save(self) -> None:
        """Keep the training as it is now, if it advanced since the last time. Raises UnsavedError."""
        now = self.training.epoch, self.training.step
        if self.store is None or now == self.saved_at:
            return
        start = time.perf_counter()
        with _writing(self.store.folder):
            self.store.save(self.training.step, pack(self.training.state(), identity=self.identity))
        self.saved_at, self.cost = now, time.perf_counter() - start
        self.total_cost += self.cost

    def finish(self) -> str | None:
        """Keep the final state in place of all checkpoints; returns its SHA-256. Raises UnsavedError."""
        if self.store is None:
            return None
        with _writing(self.store.folder):
            return self.store.finish(pack(self.training.state(), identity=self.identity))


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn an OSError into an UnsavedError, so that it does not count against the candidate."""
    try:
        yield
    except OSError as error:
        path = Path(error.filename or target)
        folder = next(folder for folder in path.absolute().parents if folder.is_dir())
        room = f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB are free there"
        limit = shell_limit("-f") if error.errno == errno.EFBIG else None
        raise UnsavedError(f"cannot write {path}: {error.strerror}; {limit or room}") from error


def _save_weights(network: torch.nn.Module, job: Job, images: Store, *, seconds: float) -> str:
    """Write weights as safetensors, and beside them a JSON with all that their use needs; returns their SHA-256."""
    assert job.weights is not None
    tensors = save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})
    sha256 = hashlib.sha256(tensors).hexdigest()
    side, channels, classes = images.training.shape
    order = {1: "grey", 3: "RGB"}[channels]
    about = {
        "format": 1,
        "weights": job.weights.name,
        "sha256": sha256,
        **job.candidate.as_dict(),
        "classes": list(images.training.classes),
        "input": f"float32 [N, {channels}, {side}, {side}], {order}, (pixel - mean) / std with pixels 0..255",
        "mean": images.mean.tolist(),
        "std": images.std.tolist(),
        "output": f"logits [N, {classes}]",
        "seed": job.seed,
        "epochs": job.epochs,
        "seconds": seconds or None,  # of the training; not known where only its end was left to do
    }
    with _writing(job.weights):
        job.weights.parent.mkdir(parents=True, exist_ok=True)
        write_whole(job.weights, tensors)
        write_whole(job.weights.with_suffix(".json"), (json.dumps(about, indent=2) + "\n").encode())
    return sha256
