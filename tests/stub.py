"""What slots run in tests of everything around a training: no torch, real reports, real checkpoints.

STUB_PACE is the seconds of a step, STUB_TROUBLE (or the name of a job) what a trial does once in its
life, as NUMBER:WHAT, STUB_UNABLE the trials that crash before their first step.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Began, Condition, Event, Failed, Finished, Job, Paused, Run, SlotSettings, Unsaved
from search.training.result import EpochResult

STEPS = 4  # of an epoch


def work(_settings: SlotSettings) -> Run:
    assert not os.environ.get("STUB_BROKEN"), "this slot cannot start"
    crash_at_named_point()
    return run


def run(job: Job, should_pause: Condition) -> Iterator[Event]:
    try:
        yield from train(job, should_pause)
    except OSError as error:
        yield Unsaved(message=f"cannot write {error.filename}: {error.strerror}")


def train(job: Job, should_pause: Condition) -> Iterator[Event]:
    if job.epochs is None:
        yield Finished(images_per_second=1e6)
        return
    assert job.checkpoints
    store, pace = CheckpointStore(job.checkpoints), float(os.environ.get("STUB_PACE", "0"))
    loaded, rejected = store.newest(json.loads)
    done = loaded["step"] if loaded else 0
    if job.reported is not None and done // STEPS > job.reported:
        done = 0
    if loaded:
        assert loaded["seed"] == job.seed, "the checkpoint of another trial"
    if str(job.number) in os.environ.get("STUB_UNABLE", "").split(","):
        yield Failed(outcome="crashed", message="RuntimeError: no GPU answers", at_start=True)
        return
    yield Began(epoch=done // STEPS, step=done, rejected=rejected)
    start = time.monotonic()
    for step in range(done + 1, job.epochs * STEPS + 1):
        time.sleep(pace)
        trouble(job, step)
        if step % STEPS == 0:
            yield result(job, step // STEPS, seconds=pace * STEPS)
            store.save(step, state(job, step))
        if should_pause():
            store.save(step, state(job, step))
            yield Paused()
            return
    sha256 = store.finish(state(job, job.epochs * STEPS))
    yield Finished(seconds=time.monotonic() - start, checkpoint_sha256=sha256)


def accuracy(seed: int, epoch: int) -> float:
    """A curve that rises, a little different for each seed."""
    return 0.9 - (0.5 + 0.1 * random.Random(seed).random()) / (epoch + 1)


def result(job: Job, epoch: int, *, seconds: float) -> EpochResult:
    assert job.epochs
    return EpochResult(
        epoch=epoch, epochs=job.epochs, train_loss=1 / epoch, train_accuracy=accuracy(job.seed, epoch),
        validation_loss=1 / epoch, validation_accuracy=accuracy(job.seed, epoch), learning_rate=1.0, seconds=seconds,
    )  # fmt: skip


def state(job: Job, step: int) -> bytes:
    return json.dumps({"seed": job.seed, "step": step, "ballast": "x" * 2000}).encode()


def trouble(job: Job, step: int) -> None:
    number, _, what = (os.environ.get("STUB_TROUBLE") or job.name).partition(":")
    if number != str(job.number) or step != 2 or not job.checkpoints:
        return
    if not once(job.checkpoints.parent / f"trouble-{number}", what):
        return
    match what.removesuffix("!"):
        case "hang":
            time.sleep(3600)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.exit(7)
        case "eat":
            eaten: list[bytearray] = []
            while True:
                eaten.append(bytearray(b"x" * 2**24))


def once(marker: Path, what: str) -> bool:
    """Whether it is the first time; with a `!` at its end it happens every time."""
    if what.endswith("!"):
        return True
    marker.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def crash_at_named_point() -> None:
    """The first process that comes to the audit event CRASH_AT kills itself there, and leaves the file CRASH_MARKER."""
    point, marker = os.environ.get("CRASH_AT"), os.environ.get("CRASH_MARKER")
    if not point or not marker:
        return

    def hook(event: str, _arguments: tuple[object, ...]) -> None:
        if event == point and once(Path(marker), ""):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
