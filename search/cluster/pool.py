"""The slots of a Ray cluster: actors that Ray places on nodes, which may come and go."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from search.cluster.actor import Message, NodeInfo, ShippedImages, SlotActor, versions
from search.cluster.connection import ClusterError, SlotResources, connected, last_line, security_notes
from search.data.sources import Source
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Command, Condition, Event, Job, Lost, Unsaved
from search.slots.machine import Machine
from search.slots.pool import TRAINING
from search.slots.slot_state import BasePool, SlotState
from search.training.compiling import Mode

START_TIMEOUT = 60.0  # seconds, as the others; for all slots to be ready before the speed is measured with fewer
NO_SLOT_TIMEOUT = 300.0  # without any slot before the search gives up
TIDY_TIMEOUT = 2.0  # for an actor to remove its files


@contextmanager
def cluster_slots(
    source: Source,
    *,
    split: Path | None,
    log: Path,
    address: str | None = None,
    slots: int | None = None,
    cpus_per_slot: int = 1,
    gpus_per_slot: float | None = None,
    device: str | None = None,
    compile: Mode | None = None,
    work: str = TRAINING,
) -> Iterator[ClusterPool]:
    """As many slots as fit on a cluster, at most `slots`; with one GPU each if any node has one, unless told otherwise.

    For the address see `connected`. Each node needs the same packages. Raises ClusterError, DataError.
    """
    with connected(address) as ray:
        if gpus_per_slot is None:
            gpus_per_slot = float(device == "cuda" or (device is None and "GPU" in ray.cluster_resources()))
        resources = SlotResources(cpus=cpus_per_slot, gpus=gpus_per_slot, max_slots=slots)
        machine = resources.machine(ray)
        images = source.training()
        shipped = cast("Source", ShippedImages(images.pixels.numpy(), images.labels.numpy(), images.classes))
        settings = machine.settings(shipped, split=None, compile=compile)[0]
        references = [ray.put(settings), ray.put(split.read_bytes() if split else None)]  # sent to each node once
        groups = {"messages": 1, "calls": 1}  # one thread each
        options = {"num_cpus": cpus_per_slot, "num_gpus": gpus_per_slot, "concurrency_groups": groups}
        pool = ClusterPool(
            ray=ray,
            actor_class=ray.remote(**options)(SlotActor),
            arguments=(work, references),
            resources=resources,
            machine=machine,
            notes=security_notes(ray),
            log=log,
        )
        with closing(pool):
            yield pool


@dataclass(kw_only=True)
class ActorHandle(SlotState):
    """A Ray actor with its job."""

    actor: Any
    answer: Any  # Ray's generator of messages; if that broke, the result of a call that tells if the actor is alive
    host: str = "a node"
    node_id: str | None = None  # of Ray; None until the actor is placed
    store: CheckpointStore | None = None  # on this machine, for the job

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of the actor; returns Ray's reference of the result. Ray keeps the order of the calls."""
        return getattr(self.actor, method).options(concurrency_group="calls").remote(*arguments)

    def send(self, command: Command) -> None:
        self.since = time.monotonic()
        self.call("receive", command)

    def event_of(self, message: Message) -> Event | None:
        """The event of a message, if it is one; a checkpoint is stored. Raises ClusterError if versions differ."""
        match message:
            case NodeInfo():
                self.host, self.node_id, ours = message.host, message.node_id, versions()
                if message.versions != ours:
                    raise ClusterError(f"{self.host} has {message.versions}, this machine {ours}; make them equal")
            case "ready":
                self.ready = True
            case (step, payload):
                assert self.store is not None
                try:
                    self.store.finish(payload) if step is None else self.store.save(step, payload)
                except OSError as error:
                    return Unsaved(message=f"cannot write {error.filename or self.store.folder}: {error.strerror}")
            case Unsaved():
                return replace(message, message=f"{message.message} (on {self.host})")
            case _:
                return message
        return None


@dataclass(kw_only=True, eq=False)
class ClusterPool(BasePool):
    """As many slots as the cluster has room for at the moment."""

    ray: Any
    actor_class: Any  # of Ray
    arguments: tuple[object, ...]  # of SlotActor.messages
    resources: SlotResources  # of a slot
    machine: Machine
    notes: tuple[str, ...]
    _slots: dict[int, ActorHandle] = field(default_factory=dict, init=False)
    _had_slot: float = field(default_factory=time.monotonic, init=False)  # when a slot was last ready

    def __len__(self) -> int:
        return sum(slot.ready for slot in self._slots.values())

    @property
    def idle(self) -> list[int]:
        return [index for index in super().idle if self._slots[index].ready]

    def start(self, index: int, job: Job) -> None:
        """Send a job with its checkpoints; the actor verifies them."""
        assert index in self.idle, f"slot {index} is not ready, or busy"
        slot = self._slots[index]
        slot.assign(job)
        slot.store = CheckpointStore(job.checkpoints) if job.checkpoints else None
        paths = slot.store.newest_first() if slot.store else ()
        files = {path.name: path.read_bytes() for path in paths if path.is_file() and os.access(path, os.R_OK)}
        slot.call("receive", (job, files))

    def measure(self, job: Job, *, interrupted: Condition = lambda: False) -> float:
        """Images per second of all slots together, when they are ready. Raises SlotError, ClusterError."""
        deadline = time.monotonic() + START_TIMEOUT
        while not interrupted() and len(self) < (self.resources.slots(self.ray) if time.monotonic() < deadline else 1):
            self.events(timeout=0.5)
        return super().measure(job, interrupted=interrupted)

    def close(self) -> None:
        for index in list(self._slots):
            self._replace(index)

    def _start_missing(self) -> None:
        """Ask Ray for the slots that are missing; Ray starts each as soon as there is room."""
        if len(self):
            self._had_slot = time.monotonic()
        if time.monotonic() - self._had_slot > NO_SLOT_TIMEOUT:
            hint = "`ray status` shows who has them: free some, or add a node, and go on"
            raise ClusterError(f"no node lent {self.resources} to a slot for {NO_SLOT_TIMEOUT:g} seconds; {hint}")
        wanted = self.resources.max_slots or self.resources.slots(self.ray)
        for index in range(wanted):
            if index not in self._slots and len(self._slots) < wanted:
                actor = self.actor_class.remote()
                stream = actor.messages.options(concurrency_group="messages", num_returns="streaming")
                self._slots[index] = ActorHandle(actor=actor, answer=stream.remote(*self.arguments))

    def _receive_all(self, timeout: float) -> dict[int, Event | None]:
        self._start_missing()
        indices = {slot.answer: index for index, slot in self._slots.items()}
        answers: list[Any] = []
        if not indices:
            time.sleep(timeout)
        elif self.ray.wait(list(indices), timeout=timeout)[0]:
            answers, _ = self.ray.wait(list(indices), num_returns=len(indices), timeout=0)
        return {indices[answer]: self._receive(indices[answer]) for answer in answers}

    def _receive(self, index: int) -> Event | None:
        """Read the next message of an actor; None if it is not an event."""
        slot = self._slots[index]
        try:
            if not isinstance(slot.answer, self.ray.ObjectRefGenerator):
                self.ray.get(slot.answer)
                return self._lost(index, ConnectionError("the connection broke"))
            message = self.ray.get(next(slot.answer))
        except self.ray.exceptions.ActorUnavailableError:
            # The connection broke, which ends the stream. Another call tells whether the actor is alive.
            slot.answer = slot.call("tidy")
            return None
        except self.ray.exceptions.RayError as error:
            return self._lost(index, error)
        event = slot.event_of(message)
        self._failed_starts = 0 if slot.ready else self._failed_starts
        return event

    def _lost(self, index: int, error: Exception) -> Lost | None:
        """Note the death of an actor; returns what became of its job, if it had one."""
        slot = self._slots[index]
        node_died = slot.node_id in [node["NodeID"] for node in self.ray.nodes() if not node["Alive"]]
        message = f"node {slot.host} died" if node_died else f"the slot on {slot.host} died: {last_line(error)}"
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {message}\n{error}\n")
        blameless = node_died or isinstance(error, ConnectionError) or getattr(error, "preempted", False)
        if slot.job is not None:
            return Lost(outcome="crashed", message=message, counts=not blameless)
        self._replace(index)
        if not (slot.ready or blameless):
            self._start_failed(message)
        return None

    def _replace(self, index: int) -> None:
        slot = self._slots.pop(index)  # the next count of the nodes may ask for another
        if slot.node_id:
            self.ray.wait([slot.call("tidy")], timeout=TIDY_TIMEOUT)
        self.ray.kill(slot.actor)
