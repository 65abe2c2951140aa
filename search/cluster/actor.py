"""What runs inside a Ray actor: a slot on whatever machine Ray chose for it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import threading
import traceback
import warnings
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from queue import SimpleQueue
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from search.slots.checkpoint_store import FINAL, BadCheckpointError, CheckpointStore
from search.slots.job import Event, Finished, Job, Setting, Word, Work
from search.training.result import EpochResult

if TYPE_CHECKING:  # these import torch, which takes seconds: what only hands letters on can do without
    import numpy as np
    import numpy.typing as npt

    from search.data.cifar10 import Images

PACKAGES = ("cifar-search", "torch")  # on which the numbers of a training depend, as they do on Python


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """The training images as they lie in a node's memory, once for all its slots; the test images stay at home."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def training(self) -> Images:
        """The training images; nothing may write into them, for this memory is mapped read-only."""
        import torch

        from search.data.cifar10 import Images

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return Images(torch.from_numpy(self.pixels), torch.from_numpy(self.labels), self.classes)

    def test(self) -> Images:
        raise AssertionError("the test images are never sent to a node")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What lies on a shelf, on its way to another machine."""

    step: int | None  # None for the final one
    payload: bytes

    def keep(self, shelf: CheckpointStore) -> str | None:
        """Put it on a shelf; returns the SHA-256 of a final one. Raises OSError."""
        if self.step is None:
            return shelf.finish(self.payload)
        shelf.save(self.step, self.payload)
        return None


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What a slot tells: an event of its job, a checkpoint of it, or at first only that it has the job."""

    news: Event | Checkpoint | None = None


@dataclass(frozen=True, kw_only=True)
class About:
    """Where an actor came to be, and what is installed there."""

    host: str
    node: str  # Ray's name of it
    pid: int
    versions: tuple[str, ...]


def versions() -> tuple[str, ...]:
    """What must be the same on every machine; builds of torch for different devices count as the same."""
    python = ".".join(platform.python_version_tuple()[:2])
    return (f"python {python}", *(f"{package} {version(package).partition('+')[0]}" for package in PACKAGES))


def newest(shelf: CheckpointStore) -> tuple[Checkpoint | None, tuple[str, ...]]:
    """The newest checkpoint that is whole; with the names of newer ones, and what is wrong."""
    rejected: list[str] = []
    for path in shelf.newest_first():
        try:
            return Checkpoint(step=_step(path), payload=shelf.read(path)), tuple(rejected)
        except BadCheckpointError as error:
            rejected.append(f"{path.name}: {error}")
    return None, tuple(rejected)


def _step(path: Path) -> int | None:
    return None if path.name == FINAL else int(path.stem.removeprefix("step-"))


class RemoteSlot:
    """Trains in one thread (settle, train), hands letters out in another (letter), listens in a third (the others)."""

    def __init__(self) -> None:
        self._folder: Path | None = None  # of what only this node needs
        self._letters: SimpleQueue[Letter | Exception] = SimpleQueue()
        self._handed = 0  # number of the letter that was handed out last
        self._last: Letter | Exception = Letter()
        self._words: SimpleQueue[tuple[int, Word]] = SimpleQueue()
        self._asked = 0  # number of the job that it was asked to leave
        self._sent: Path | None = None  # the checkpoint that is known at home

    def about(self) -> About:
        """Asked for first, before anything is sent that another version might not understand."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        return About(host=socket.gethostname(), node=node, pid=os.getpid(), versions=versions())

    def settle(self, work: str, setting: Setting, split: bytes | None) -> None:
        """What is done once in a slot's life, in the thread that trains: torch counts its threads by thread."""
        self._folder = Path(mkdtemp(prefix="cifar-search-"))
        if split is not None:
            setting = replace(setting, split=self._folder / "split.npz")
            (self._folder / "split.npz").write_bytes(split)
        make: Work = resolve_name(work)
        self._run = make(setting)

    def train(self, number: int, job: Job, checkpoint: Checkpoint | None) -> None:
        """Run a job, the number-th of this slot, from its checkpoint to its end, or until it is not wanted any more."""
        self._letters.put(Letter())
        try:
            self._train(number, job, checkpoint)
        except Exception as error:  # a mistake of ours, which who waits for a letter must hear of
            self._letters.put(error)

    def letter(self, number: int) -> Letter:
        """The number-th of its letters, as soon as there is one; the same again where an answer was lost on its way."""
        if number > self._handed:
            self._last, self._handed = self._letters.get(), number
        if isinstance(self._last, Exception):
            raise self._last
        return self._last

    def say(self, number: int, word: Word) -> None:
        """Answer an EpochResult of the number-th job, or ask to leave it."""
        if word == "leave":
            self._asked = number
        self._words.put((number, word))

    def stacks(self) -> str:
        """What each of its threads is doing."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        frames = sys._current_frames().items()
        return "\n".join(f"{names.get(key, key)}:\n{''.join(traceback.format_stack(frame))}" for key, frame in frames)

    def tidy(self) -> None:
        """Leave nothing behind on the node."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _train(self, number: int, job: Job, checkpoint: Checkpoint | None) -> None:
        assert job.weights is None, "weights would stay on the node: only trials are trained on a cluster"
        assert self._folder, "settle first"
        folder = self._folder / f"{number}"
        shelf = CheckpointStore(folder) if job.shelf else None
        if shelf and checkpoint:
            checkpoint.keep(shelf)
        self._sent = next(shelf.newest_first(), None) if shelf else None

        def leaving() -> bool:
            self._send(shelf)
            return self._asked == number

        try:
            for event in self._run(replace(job, shelf=folder if shelf else None), leaving):
                if isinstance(event, Finished):  # its checkpoint may have been there before, and was written again
                    self._sent = None
                self._send(shelf)
                self._letters.put(Letter(news=event))
                if isinstance(event, EpochResult) and not self._wanted(number):
                    return
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _send(self, shelf: CheckpointStore | None) -> None:
        """A checkpoint that is not known at home yet: always before the event that lies behind it."""
        path = next(shelf.newest_first(), None) if shelf else None
        if shelf and path and path != self._sent:
            self._sent = path
            self._letters.put(Letter(news=Checkpoint(step=_step(path), payload=shelf.read(path))))

    def _wanted(self, number: int) -> bool:
        while True:
            about, word = self._words.get()
            if about == number:
                return word != "stop"
