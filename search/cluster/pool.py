"""Slots on a cluster: Ray actors, which Ray places and whose nodes it watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from search.cluster.actor import RemoteSlot, Shipped
from search.cluster.actor_handle import THREADS, Handle
from search.cluster.connection import ClusterError, Need, connected, last_line, nodes, notes, places, survey
from search.data.sources import Source
from search.slots import slot_state as stint
from search.slots.job import END_OF_JOB, Event, Job, Leaving, Lost, Unsaved
from search.slots.pool import TRAINING
from search.slots.slot_state import STILLBORN, SlotError, spent

if TYPE_CHECKING:
    from search.training.compiling import Mode

CENSUS = 1.0  # seconds between two looks at what the cluster has
GATHERING = 60.0  # seconds that the first slots wait for the others
ALONE = 300.0  # seconds without a slot before the search gives up
DUMP = 5.0  # seconds for a silent actor to say what it is doing
FAREWELL = 2.0  # seconds for the actors to tidy up


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
) -> Iterator[ClusterSlots]:
    """As many slots as find room on a cluster, or `slots`; with a GPU each, where there are any, unless told.

    For the address see `connected`. The nodes need the same packages. Raises ClusterError, DataError.
    """
    with connected(address) as ray:
        gpus = float(device == "cuda" or (device is None and any(node.gpus for node in nodes(ray))))
        need = Need(cpus=cpus_per_slot, gpus=gpus if gpus_per_slot is None else gpus_per_slot)
        found = ClusterSlots(
            ray, need=need, most=slots, source=source, split=split, log=log, compile=compile, work=work
        )
        try:
            yield found
        finally:
            found.close()


class ClusterSlots:
    """As many slots as the cluster has room for at the moment: they go with their nodes and come with new ones."""

    def __init__(
        self,
        ray: Any,
        *,
        need: Need,
        most: int | None,
        source: Source,
        split: Path | None,
        log: Path,
        compile: Mode | None,
        work: str,
    ) -> None:
        """The images are sent to each node once. Raises ClusterError, DataError."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self._ray, self._need, self._most, self._log = ray, need, most, log
        self._handles: dict[int, Handle] = {}
        self._stillborn = 0
        self._looked = self._attended = time.monotonic()  # when we listened, and when there was somebody to listen to
        self._counted = float("-inf")  # when we looked what the cluster has
        self.machine = survey(ray, need=need, most=most)
        self.notes = notes(ray)
        images = source.training()
        shipped = Shipped(pixels=images.pixels.numpy(), labels=images.labels.numpy(), classes=images.classes)
        (setting,) = replace(self.machine, slots=1).settings(cast("Source", shipped), split=None, compile=compile)
        self._outfit = (work, ray.put(setting), ray.put(split.read_bytes() if split else None))
        options = {"num_cpus": need.cpus, "num_gpus": need.gpus, "max_restarts": 0, "concurrency_groups": THREADS}
        self._actor = ray.remote(**options)(RemoteSlot)

    def __len__(self) -> int:
        return sum(handle.born for handle in self._handles.values())

    @property
    def idle(self) -> list[int]:
        return sorted(handle.index for handle in self._handles.values() if handle.born and handle.job is None)

    @property
    def busy(self) -> list[int]:
        return [handle.index for handle in self._handles.values() if handle.job is not None]

    def start(self, index: int, job: Job) -> None:
        handle = self._handles[index]
        assert handle.born, f"slot {index} is not ready"
        assert handle.job is None, f"slot {index} is busy with {handle.job}"
        handle.start(job)

    def go_on(self, index: int) -> None:
        """The answer to an EpochResult; one that was asked to leave has it already."""
        if not self._handles[index].leaving:
            self._handles[index].say("go on")

    def stop(self, index: int) -> None:
        """The other answer to an EpochResult: the training is not wanted any more."""
        handle = self._handles[index]
        if handle.leaving:
            self._dismiss(handle)
        else:
            handle.say("stop")
            handle.take(None)

    def leave(self, index: int) -> None:
        """Ask it to keep what it has done and to say Left; it does after the step that it is in."""
        self._handles[index].say("leave")
        self._handles[index].leaving = True

    def events(self, *, timeout: float) -> list[tuple[int, Job, Event]]:
        """What the busy slots said within `timeout` seconds; a dead or overdue one is Lost and replaced.

        Raises SlotError where slot after slot dies before it begins, ClusterError where no node has room for one.
        """
        deadline = time.monotonic() + timeout
        while True:
            answers = self._listen(max(0.0, deadline - time.monotonic()))
            if answers or time.monotonic() >= deadline:
                return answers

    def measure(self, job: Job, *, leaving: Leaving = lambda: False) -> float:
        """Images per second of all slots together, when they are there. Raises SlotError, ClusterError."""
        start = time.monotonic()
        while not leaving() and len(self) < (self._room() if time.monotonic() - start < GATHERING else 1):
            self.events(timeout=0.5)
        return stint.measure(self, job, leaving=leaving)

    def close(self) -> None:
        self._dismiss(*self._handles.values())

    def _room(self) -> int:
        """How many slots there could be now."""
        return min(places(self._ray, self._need), self._most or sys.maxsize)

    def _listen(self, timeout: float) -> list[tuple[int, Job, Event]]:
        """The same until the first answer of whatever kind."""
        self._recruit()
        handles = {handle.answer: handle for handle in self._handles.values()}
        if not handles:
            time.sleep(timeout)
        ready: list[Any] = []
        if handles and self._ray.wait(list(handles), timeout=timeout)[0]:
            ready, _ = self._ray.wait(list(handles), num_returns=len(handles), timeout=0)
        found = [(handles[answer], self._receive(handles[answer])) for answer in ready]
        silent = [handle for answer, handle in handles.items() if answer not in ready and handle.job is not None]
        found += [(handle, self._overdue(handle)) for handle in silent]
        self._looked = time.monotonic()
        answers = []
        for handle, event in found:
            if event is None:
                continue
            assert handle.job is not None
            answers.append((handle.index, handle.job, event))
            handle.heard()
            if isinstance(event, END_OF_JOB):
                handle.take(None)
            if spent(event) or isinstance(event, Unsaved):
                self._dismiss(handle)
        return answers

    def _recruit(self) -> None:
        """Ask Ray for the slots that are missing."""
        now = time.monotonic()
        if now - self._counted < CENSUS:
            return
        self._counted = now
        if len(self):
            self._attended = now
        if now - self._attended > ALONE:
            raise ClusterError(
                f"no node lent {self._need} to a slot for {ALONE:g} seconds; `ray status` shows who has them: "
                "free some, or add a node, and go on"
            )
        wanted = self._most or self._room()
        vacant = [index for index in range(wanted) if index not in self._handles]
        for index in vacant[: max(0, wanted - len(self._handles))]:
            self._handles[index] = handle = Handle(index=index, actor=self._actor.remote(), outfit=self._outfit)
            handle.ask()

    def _receive(self, handle: Handle) -> Event | None:
        """Take its answer and ask for the next; None where it says nothing of a job."""
        errors, event, born = self._ray.exceptions, None, handle.born
        try:
            event = handle.hear(self._ray.get(handle.answer))
        except errors.RayError as error:
            # Where only the line is broken, it may be there again when it is asked again.
            if not (handle.born and isinstance(error, errors.ActorUnavailableError)):
                return self._gone(handle, error)
        if handle.born and not born:
            self._stillborn = 0
        handle.ask()
        return event

    def _gone(self, handle: Handle, error: Exception) -> Lost | None:
        """What became of its job, if it had one."""
        alive = handle.about is None or handle.about.node in {node.name for node in nodes(self._ray)}
        blameless = not alive or getattr(error, "preempted", False)
        message = f"node {handle.host} died" if blameless else f"the slot on {handle.host} died: {last_line(error)}"
        self._write(f"{message}\n{error}")
        if handle.job is not None:
            return Lost(outcome="crashed", message=message, counts=handle.begun and not blameless)
        self._dismiss(handle)
        self._stillborn += not handle.born and not blameless
        if self._stillborn == STILLBORN:
            raise SlotError(f"{STILLBORN} slots in a row ended before they began: {message}; see {self._log}")
        return None

    def _overdue(self, handle: Handle) -> Lost | None:
        reason = handle.overdue(looked=self._looked)
        if reason is None:
            return None
        outcome, message = reason
        try:
            stacks = self._ray.get(handle.call("stacks"), timeout=DUMP)
        except self._ray.exceptions.RayError as error:  # a timeout among them
            stacks = f"no answer: {last_line(error)}"
        self._write(f"{handle.host}: {message}\n{stacks}")
        return Lost(outcome=outcome, message=f"{message}; the stacks of its threads are in {self._log}")

    def _dismiss(self, *handles: Handle) -> None:
        """Kill them; what they held is free for others, for which Ray is asked at the next census."""
        farewells = [handle.call("tidy") for handle in handles if handle.born]
        if farewells:
            self._ray.wait(farewells, num_returns=len(farewells), timeout=FAREWELL)
        for handle in handles:
            self._ray.kill(handle.actor)
            self._handles.pop(handle.index, None)

    def _write(self, text: str) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")
