"""The Ray actor: a slot on another machine, which sends its events and its checkpoints."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from queue import SimpleQueue
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Literal

from search.slots.checkpoint_store import FINAL, CheckpointStore
from search.slots.job import Command, Event, Finished, Job, MakeRun, Run, SlotSettings
from search.training.result import EpochResult

if TYPE_CHECKING:  # it imports torch, which takes seconds
    from search.data.images import Images


@dataclass(frozen=True, eq=False)  # without eq it has a hash
class ShippedImages:
    """The training images in the shared memory of a node, one copy for all its slots. No test images are sent."""

    pixels: Any  # of NumPy, like the labels: an actor starts without torch
    labels: Any
    classes: tuple[str, ...]

    def training(self) -> Images:
        """The training images, copied, since that memory is read-only."""
        from torch import tensor

        from search.data.images import Images

        return Images(tensor(self.pixels), tensor(self.labels), self.classes)


@dataclass(frozen=True, kw_only=True)
class NodeInfo:
    """Where an actor runs, and the versions that are installed there."""

    host: str
    node_id: str
    versions: str


JobWithFiles = tuple[Job, dict[str, bytes]]  # the files are those of its checkpoints, by name
# What an actor sends: its NodeInfo, "ready", then events, and checkpoints as step (None: the final one) and payload.
Message = NodeInfo | Literal["ready"] | tuple[int | None, bytes] | Event


def versions() -> str:
    """What must be equal on all machines; builds of torch for different devices count as equal. Ray compares Python."""
    return ", ".join(f"{name} {version(name).partition('+')[0]}" for name in ("cifar-search", "torch"))


class SlotActor:
    """Trains in its own thread; Ray keeps a second one busy with `messages`, and calls the other methods in a third."""

    def __init__(self) -> None:
        self._folder = Path(mkdtemp(prefix="cifar-search-"))
        self._messages: SimpleQueue[Message | BaseException] = SimpleQueue()
        self._commands: SimpleQueue[JobWithFiles | Command] = SimpleQueue()
        self._sent: Path | None = None  # the newest checkpoint that the pool has

    def messages(self, work: str, references: list[Any]) -> Iterator[Message]:
        """The stream of messages; the settings and the split are fetched after the versions are sent."""
        import ray

        yield NodeInfo(host=socket.gethostname(), node_id=ray.get_runtime_context().get_node_id(), versions=versions())
        threading.Thread(target=self._run_jobs, args=(work, *ray.get(references)), daemon=True).start()
        while not isinstance(message := self._messages.get(), BaseException):
            yield message
        raise message

    def receive(self, command: JobWithFiles | Command) -> None:
        """Take a job, or a command about the job that runs."""
        self._commands.put(command)

    def tidy(self) -> None:
        """Remove all files of this actor from the node."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run_jobs(self, work: str, settings: SlotSettings, split: bytes | None) -> None:
        try:
            if split is not None:
                settings = replace(settings, split=self._folder / "split.npz")
                (self._folder / "split.npz").write_bytes(split)
            make_run: MakeRun = resolve_name(work)
            run = make_run(settings)  # in this thread, since torch counts its CPU threads for each thread
            self._messages.put("ready")
            while True:
                command = self._commands.get()
                if isinstance(command, tuple):  # else it was for the previous job, which had ended
                    self._run_job(run, *command)
        except BaseException as error:
            self._messages.put(error)

    def _run_job(self, run: Run, job: Job, files: dict[str, bytes]) -> None:
        assert job.weights is None, "weights would stay on the node: only trials are trained on a cluster"
        store = CheckpointStore(self._folder / "checkpoints")
        shutil.rmtree(store.folder, ignore_errors=True)
        store.folder.mkdir()
        for name, content in files.items():
            (store.folder / name).write_bytes(content)
        self._sent = next(store.newest_first(), None)
        pause = False

        def should_pause() -> bool:
            self._send_checkpoint(store)
            return pause or not self._commands.empty()  # during an epoch the only possible command is "pause"

        for event in run(replace(job, checkpoints=job.checkpoints and store.folder), should_pause):
            if isinstance(event, Finished):  # it may have written a final checkpoint again, under the same name
                self._sent = None
            self._send_checkpoint(store)
            self._messages.put(event)
            if isinstance(event, EpochResult):
                command = self._commands.get()
                if command == "stop":
                    return
                pause = command == "pause"

    def _send_checkpoint(self, store: CheckpointStore) -> None:
        """Send the newest checkpoint if it is new: always before the event that follows it."""
        path = next(store.newest_first(), None)
        if path and path != self._sent:
            self._sent = path
            step = None if path.name == FINAL else int(path.stem.removeprefix("step-"))
            self._messages.put((step, store.read(path)))
