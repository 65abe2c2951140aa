"""The slots of a Ray cluster: actors that Ray places on nodes, which may come and go."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from search.cluster.actor import Checkpoint, Message, NodeInfo, ShippedImages, SlotActor, versions
from search.cluster.connection import ClusterError, connected, last_line, security_notes
from search.cluster.resources import SlotResources, cluster_machine
from search.data.sources import Source
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Event, Job, Leaving, Lost, Unsaved, Word
from search.slots.machine import Machine
from search.slots.pool import TRAINING
from search.slots.slot_state import BasePool, SlotState
from search.training.compiling import Mode

# Each in seconds.
START_TIMEOUT = 60.0  # for all slots to be ready before the speed is measured with fewer
NO_SLOT_TIMEOUT = 300.0  # without any slot before the search gives up
STACKS_TIMEOUT = 5.0  # for a silent actor to send its stacks
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
        resources = SlotResources(cpus=cpus_per_slot, gpus=gpus_per_slot)
        machine = cluster_machine(ray, resources, max_slots=slots)
        images = source.training()
        shipped = ShippedImages(pixels=images.pixels.numpy(), labels=images.labels.numpy(), classes=images.classes)
        (setting,) = replace(machine, slots=1).settings(cast("Source", shipped), split=None, compile=compile)
        references = [ray.put(setting), ray.put(split.read_bytes() if split else None)]  # sent to each node once
        groups = {"messages": 1, "calls": 1}  # with one thread each
        options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "concurrency_groups": groups}
        pool = ClusterPool(
            ray=ray,
            actor_class=ray.remote(**options)(SlotActor),
            arguments=(work, references),
            resources=resources,
            max_slots=slots,
            machine=machine,
            notes=security_notes(ray),
            log=log,
        )
        try:
            yield pool
        finally:
            pool.close()


@dataclass(kw_only=True)
class ActorHandle(SlotState):
    """A Ray actor with its job."""

    actor: Any
    answer: Any  # Ray's generator of messages; if that broke, the result of a call that tells if the actor is alive
    host: str = "a node"
    node_id: str | None = None  # of Ray; None until the actor is placed
    store: CheckpointStore | None = None  # on this machine, for the job

    @property
    def idle(self) -> bool:
        return self.ready and self.job is None

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of the actor; returns Ray's reference of the result. Ray keeps the order of the calls."""
        return getattr(self.actor, method).options(concurrency_group="calls").remote(*arguments)

    def start(self, job: Job) -> None:
        """Send a job with its checkpoints; the actor verifies them."""
        self.assign(job)
        self.store = CheckpointStore(job.shelf) if job.shelf else None
        paths = [path for path in self.store.newest_first() if path.is_file()] if self.store else []
        files = [(path.name, path.read_bytes()) for path in paths if not path.is_symlink() and os.access(path, os.R_OK)]
        self.call("tell", (job, files))

    def say(self, word: Word) -> None:
        self.since = time.monotonic()
        self.call("tell", word)

    def receive(self, message: Message) -> Event | None:
        """The event of a message, if it is one; a checkpoint is stored. Raises ClusterError if versions differ."""
        match message:
            case NodeInfo():
                self.host, self.node_id = message.host, message.node_id
                theirs, ours = message.versions - versions(), versions() - message.versions
                if theirs or ours:
                    texts = f"{', '.join(sorted(theirs))}, this machine {', '.join(sorted(ours))}"
                    raise ClusterError(f"{self.host} has {texts}; install the same versions on every node")
            case "ready":
                self.ready = True
            case Checkpoint(step=step, payload=payload):
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
class ClusterPool(BasePool[ActorHandle]):
    """As many slots as the cluster has room for at the moment."""

    ray: Any
    actor_class: Any  # of Ray
    arguments: tuple[object, ...]  # of SlotActor.messages
    resources: SlotResources  # of a slot
    max_slots: int | None
    machine: Machine
    notes: tuple[str, ...]
    _had_slot: float = field(default_factory=time.monotonic, init=False)  # when a slot was last ready

    def __len__(self) -> int:
        return sum(slot.ready for slot in self._slots.values())

    def start(self, index: int, job: Job) -> None:
        assert index in self.idle, f"slot {index} is not ready, or busy"
        self._slots[index].start(job)

    def measure(self, job: Job, *, leaving: Leaving = lambda: False) -> float:
        """Images per second of all slots together, when they are ready. Raises SlotError, ClusterError."""
        deadline = time.monotonic() + START_TIMEOUT
        while not leaving() and len(self) < (self._slot_count() if time.monotonic() < deadline else 1):
            self.events(timeout=0.5)
        return super().measure(job, leaving=leaving)

    def close(self) -> None:
        for slot in list(self._slots.values()):
            self._replace(slot)

    def _slot_count(self) -> int:
        return self.resources.slots(self.ray, max_slots=self.max_slots)

    def _start_missing(self) -> None:
        """Ask Ray for the slots that are missing; Ray starts each as soon as there is room."""
        if len(self):
            self._had_slot = time.monotonic()
        if time.monotonic() - self._had_slot > NO_SLOT_TIMEOUT:
            hint = "`ray status` shows who has them: free some, or add a node, and go on"
            raise ClusterError(f"no node lent {self.resources} to a slot for {NO_SLOT_TIMEOUT:g} seconds; {hint}")
        wanted = self.max_slots or self._slot_count()
        for index in range(wanted):
            if index not in self._slots and len(self._slots) < wanted:
                actor = self.actor_class.remote()
                stream = actor.messages.options(concurrency_group="messages", num_returns="streaming")
                self._slots[index] = ActorHandle(index=index, actor=actor, answer=stream.remote(*self.arguments))

    def _receive_all(self, timeout: float) -> list[tuple[ActorHandle, Event]]:
        self._start_missing()
        slots = {slot.answer: slot for slot in self._slots.values()}
        answers: list[Any] = []
        if not slots:
            time.sleep(timeout)
        elif self.ray.wait(list(slots), timeout=timeout)[0]:
            answers, _ = self.ray.wait(list(slots), num_returns=len(slots), timeout=0)
        received = [(slots[answer], event) for answer in answers if (event := self._receive(slots[answer]))]
        silent = [slot for answer, slot in slots.items() if answer not in answers and slot.job is not None]
        received += [(slot, event) for slot in silent if (event := self._check_overdue(slot))]
        self._looked = time.monotonic()
        return received

    def _receive(self, slot: ActorHandle) -> Event | None:
        """Read the next message of an actor; None if it is not an event."""
        try:
            if not isinstance(slot.answer, self.ray.ObjectRefGenerator):
                self.ray.get(slot.answer)
                return self._lost(slot, ConnectionError("the connection broke"))
            message = self.ray.get(next(slot.answer))
        except self.ray.exceptions.ActorUnavailableError:
            # The connection broke, which ends the stream. Another call tells whether the actor is alive.
            slot.answer = slot.call("stacks")
            return None
        except self.ray.exceptions.RayError as error:
            return self._lost(slot, error)
        event = slot.receive(message)
        self._failed_starts = 0 if slot.ready else self._failed_starts
        return event

    def _lost(self, slot: ActorHandle, error: Exception) -> Lost | None:
        """Note the death of an actor; returns what became of its job, if it had one."""
        alive = [node["NodeID"] for node in self.ray.nodes() if node["Alive"]]
        node_died = slot.node_id is not None and slot.node_id not in alive
        message = f"node {slot.host} died" if node_died else f"the slot on {slot.host} died: {last_line(error)}"
        self._write(f"{message}\n{error}")
        blameless = node_died or isinstance(error, ConnectionError) or getattr(error, "preempted", False)
        if slot.job is not None:
            return Lost(outcome="crashed", message=message, counts=not blameless)
        self._replace(slot)
        if not (slot.ready or blameless):
            self._start_failed(message)
        return None

    def _check_overdue(self, slot: ActorHandle) -> Lost | None:
        reason = slot.overdue(looked=self._looked)
        if reason is None:
            return None
        outcome, message = reason
        try:
            stacks = self.ray.get(slot.call("stacks"), timeout=STACKS_TIMEOUT)
        except self.ray.exceptions.RayError as error:  # a timeout is one too
            stacks = f"no answer: {last_line(error)}"
        self._write(f"{slot.host}: {message}\n{stacks}")
        return Lost(outcome=outcome, message=f"{message}; the stacks of its threads are in {self.log}")

    def _replace(self, slot: ActorHandle) -> None:
        if slot.node_id:
            self.ray.wait([slot.call("tidy")], timeout=TIDY_TIMEOUT)
        self.ray.kill(slot.actor)
        del self._slots[slot.index]  # the next count of the nodes may ask for another

    def _write(self, text: str) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")
