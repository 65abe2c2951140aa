"""The Ray actor: a slot on another machine, which sends its events and checkpoints as one stream."""

from __future__ import annotations

import platform
import shutil
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from queue import SimpleQueue
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from search.slots.checkpoint_store import FINAL, CheckpointStore
from search.slots.job import Event, Finished, Job, Run, Setting, Word, Work
from search.training.result import EpochResult

if TYPE_CHECKING:  # it imports torch, which takes seconds
    from search.data.cifar10 import Images

PACKAGES = ("cifar-search", "torch")  # the results of a training depend on their versions


@dataclass(frozen=True, kw_only=True)
class ShippedImages:
    """The training images in the shared memory of a node, one copy for all its slots. No test images are sent."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def training(self) -> Images:
        """The training images, copied, since that memory is read-only."""
        import torch

        from search.data.cifar10 import Images

        return Images(torch.tensor(self.pixels), torch.tensor(self.labels), self.classes)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on its way to the machine of the search."""

    step: int | None  # None for the final checkpoint
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class NodeInfo:
    """Where an actor runs, and which versions are installed there."""

    host: str
    node_id: str
    versions: frozenset[str]


Message = NodeInfo | Literal["ready"] | Checkpoint | Event
"""What an actor sends: first its NodeInfo, then that it can take a job, then what comes of its jobs."""


def versions() -> frozenset[str]:
    """What must be equal on all machines; builds of torch for different devices count as equal."""
    python = ".".join(platform.python_version_tuple()[:2])
    return frozenset({f"python {python}", *(f"{name} {version(name).partition('+')[0]}" for name in PACKAGES)})


class SlotActor:
    """Trains in a thread of its own, so that a checkpoint can be sent in the middle of an epoch.

    Ray keeps one thread busy with `messages` and calls the other methods in another.
    """

    def __init__(self) -> None:
        self._folder = Path(mkdtemp(prefix="cifar-search-"))
        self._messages: SimpleQueue[Message | BaseException] = SimpleQueue()
        self._words: SimpleQueue[tuple[Job, list[tuple[str, bytes]]] | Word] = SimpleQueue()
        self._sent: Path | None = None  # the newest checkpoint that the pool has

    def messages(self, work: str, references: list[Any]) -> Iterator[Message]:
        """The stream of messages; the references to the Setting and the split are read after the versions are sent."""
        import ray

        node_id = ray.get_runtime_context().get_node_id()
        yield NodeInfo(host=socket.gethostname(), node_id=node_id, versions=versions())
        threading.Thread(target=self._run_jobs, args=(work, *ray.get(references)), daemon=True).start()
        while True:
            message = self._messages.get()
            if isinstance(message, BaseException):
                raise message
            yield message

    def tell(self, word: tuple[Job, list[tuple[str, bytes]]] | Word) -> None:
        """Take a job with the names and contents of its checkpoint files, or a word about the job that runs."""
        self._words.put(word)

    def stacks(self) -> str:
        """What each thread is doing."""
        return "\n".join("".join(traceback.format_stack(frame)) for frame in sys._current_frames().values())

    def tidy(self) -> None:
        """Remove all files of this actor from the node."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run_jobs(self, work: str, setting: Setting, split: bytes | None) -> None:
        try:
            if split is not None:
                setting = replace(setting, split=self._folder / "split.npz")
                (self._folder / "split.npz").write_bytes(split)
            make: Work = resolve_name(work)
            run = make(setting)  # in this thread, since torch counts its CPU threads for each thread
            self._messages.put("ready")
            while True:
                word = self._words.get()
                if isinstance(word, tuple):  # else it was for the previous job, which had ended
                    self._run_job(run, *word)
        except BaseException as error:
            self._messages.put(error)

    def _run_job(self, run: Run, job: Job, files: list[tuple[str, bytes]]) -> None:
        assert job.weights is None, "weights would stay on the node: only trials are trained on a cluster"
        store = CheckpointStore(self._folder / "checkpoints")
        shutil.rmtree(store.folder, ignore_errors=True)
        store.folder.mkdir()
        for name, content in files:
            (store.folder / name).write_bytes(content)
        self._sent = next(store.newest_first(), None)
        asked = False

        def leaving() -> bool:
            self._send_checkpoint(store)
            return asked or not self._words.empty()  # during an epoch the only possible word is "leave"

        for event in run(replace(job, shelf=job.shelf and store.folder), leaving):
            if isinstance(event, Finished):  # it may have written a final checkpoint again, under the same name
                self._sent = None
            self._send_checkpoint(store)
            self._messages.put(event)
            if isinstance(event, EpochResult):
                word = self._words.get()
                if word == "stop":
                    return
                asked = word == "leave"

    def _send_checkpoint(self, store: CheckpointStore) -> None:
        """Send the newest checkpoint if it is new: always before the event that follows it."""
        path = next(store.newest_first(), None)
        if path and path != self._sent:
            self._sent = path
            step = None if path.name == FINAL else int(path.stem.removeprefix("step-"))
            self._messages.put(Checkpoint(step=step, payload=store.read(path)))
