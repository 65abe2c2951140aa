"""What all slots share, whether they are local processes or Ray actors."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Generic, TypeVar

from search.errors import UserError
from search.slots.job import (
    END_OF_JOB,
    LEAST_PATIENCE,
    PATIENCE,
    RETRIES,
    Event,
    Failed,
    Job,
    Leaving,
    Left,
    Lost,
    Outcome,
    Speed,
    Unsaved,
    Word,
)
from search.training.result import EpochResult

ABSENCE = 30.0  # seconds: if the supervisor itself paused for so long, it does not blame the slots for their silence
MAX_FAILED_STARTS = 3  # in a row, before the pool gives up starting slots


class SlotError(UserError):
    """The slots cannot work, whatever the candidate is."""

    exit_code = 6


@dataclass(kw_only=True)
class SlotState(ABC):
    """The job of a slot, and how long the slot has been silent."""

    index: int
    ready: bool = False  # the slot has started and can take a job
    job: Job | None = None
    leaving: bool = False  # it was asked to leave its job
    since: float = field(default_factory=time.monotonic)  # time of the last sign of life
    intervals: list[float] = field(default_factory=list)  # seconds between the events of this job

    @property
    def idle(self) -> bool:
        return self.job is None

    @abstractmethod
    def say(self, word: Word) -> None:
        """Send a word to the slot."""

    def assign(self, job: Job | None) -> None:
        """Give the slot a job, or none."""
        self.job, self.leaving, self.intervals, self.since = job, False, [], time.monotonic()

    def received(self, event: Event) -> None:
        """Note the time of an event; the last event of a job frees the slot."""
        now = time.monotonic()
        self.intervals.append(now - self.since)
        self.since = now
        if isinstance(event, END_OF_JOB):
            self.assign(None)

    def overdue(self, *, looked: float) -> tuple[Outcome, str] | None:
        """Why the slot must be given up, or None; `looked` is when the supervisor last read the events."""
        assert self.job is not None
        now = time.monotonic()
        if now - looked > ABSENCE:  # the process was stopped, or waited for the database: the slots waited for it
            self.since = now
        silent = now - self.since
        patience = max(self.job.patience, PATIENCE * median(self.intervals or [0.0])) if self.ready else LEAST_PATIENCE
        if silent > patience:
            return "hung", f"no progress for {silent:.0f} seconds"
        if self.ready and self.job.limit is not None and sum(self.intervals) + silent > self.job.limit:
            return "timed-out", f"not done after {self.job.limit:g} seconds"
        return None


S = TypeVar("S", bound=SlotState)


@dataclass(kw_only=True, eq=False)
class BasePool(ABC, Generic[S]):
    """The slots of this machine or of a cluster. After each EpochResult a slot waits for `go_on` or `stop`."""

    log: Path
    _slots: dict[int, S] = field(default_factory=dict, init=False)
    _looked: float = field(default_factory=time.monotonic, init=False)  # when messages were last read
    _failed_starts: int = field(default=0, init=False)  # in a row

    def __post_init__(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def start(self, index: int, job: Job) -> None:
        """Give an idle slot a job."""

    @abstractmethod
    def _receive_all(self, timeout: float) -> list[tuple[S, Event]]:
        """What the busy slots sent, and Lost for each that died or is overdue; waits for the first message."""

    @abstractmethod
    def _replace(self, slot: S) -> object:
        """Kill a slot; a new one takes its place."""

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def idle(self) -> list[int]:
        return sorted(index for index, slot in self._slots.items() if slot.idle)

    @property
    def busy(self) -> list[int]:
        return sorted(index for index, slot in self._slots.items() if slot.job is not None)

    def go_on(self, index: int) -> None:
        """Answer an EpochResult: the training goes on. A slot that was asked to leave needs no answer."""
        if not self._slots[index].leaving:
            self._slots[index].say("go on")

    def stop(self, index: int) -> None:
        """Answer an EpochResult: the training is stopped, and the slot is idle at once."""
        slot = self._slots[index]
        if slot.leaving:
            self._replace(slot)
        else:
            slot.say("stop")
            slot.assign(None)

    def leave(self, index: int) -> None:
        """Ask a slot to save a checkpoint and to send Left, which it does after the current step."""
        self._slots[index].say("leave")
        self._slots[index].leaving = True

    def events(self, *, timeout: float) -> list[tuple[int, Job, Event]]:
        """The events of the busy slots within `timeout` seconds; a dead or overdue slot is Lost and replaced.

        Raises SlotError if slot after slot dies at its start, or ClusterError if no node has room for one.
        """
        events = []
        for slot, event in self._receive_all(timeout):
            assert slot.job is not None
            events.append((slot.index, slot.job, event))
            slot.received(event)
            if needs_new_process(event):
                self._replace(slot)
        return events

    def measure(self, job: Job, *, leaving: Leaving = lambda: False) -> float:
        """Images per second of all slots together while all of them run this job. Raises SlotError."""
        speeds = [event for _, event in run_all(self, [job] * len(self), leaving=leaving)]
        failed = [event for event in speeds if isinstance(event, Failed)]
        if failed:
            raise SlotError(f"the first steps of {job.name} failed: {failed[0].message}\n{failed[0].trace}".rstrip())
        return sum(event.images_per_second for event in speeds if isinstance(event, Speed))

    def _start_failed(self, message: str) -> None:
        self._failed_starts += 1
        if self._failed_starts == MAX_FAILED_STARTS:
            raise SlotError(f"{MAX_FAILED_STARTS} slots in a row ended before they began: {message}; see {self.log}")


AnySlots = BasePool[Any]


def run_all(slots: AnySlots, jobs: Sequence[Job], *, leaving: Leaving = lambda: False) -> Iterator[tuple[Job, Event]]:
    """Run each job to its end on the next idle slot; a job whose slot is lost starts again."""
    waiting = list(jobs)
    losses = dict.fromkeys((job.name for job in jobs), 0)
    while (waiting or slots.busy) and not leaving():
        for index in slots.idle[: len(waiting)]:
            slots.start(index, waiting.pop(0))
        for index, job, event in slots.events(timeout=0.5):
            if isinstance(event, EpochResult):
                slots.go_on(index)
            if not isinstance(event, Lost):
                yield job, event
                continue
            losses[job.name] += event.counts
            if losses[job.name] > RETRIES:
                yield job, Failed(outcome=event.outcome, message=event.message)
            else:
                waiting.append(job)


def needs_new_process(event: Event) -> bool:
    """Whether the process that sent this event is dead or must be replaced; a new one has a new CUDA context."""
    match event:
        case Lost() | Unsaved():
            return True
        case Left():
            return event.signal is not None
        case Failed():
            return event.outcome in ("crashed", "out-of-memory")
        case _:
            return False
