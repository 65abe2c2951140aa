"""What every kind of slot has in common, be it a local process or a Ray actor."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from search.errors import UserError
from search.slots.job import (
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
)
from search.training.result import EpochResult

ABSENCE = 30.0  # seconds without a look at the slots, after which their silence says nothing of them
STILLBORN = 3  # slots in a row that end before they begin, after which there is no use in another


class SlotError(UserError):
    """The slots cannot work at all, whatever the candidate."""

    exit_code = 6


@dataclass(kw_only=True)
class SlotState:
    """The job of a slot, and how long it has been silent."""

    born: bool = False  # the slot said that it is ready
    job: Job | None = None
    leaving: bool = False  # it was asked to leave its job
    since: float = field(default_factory=time.monotonic)  # when it last gave a sign of life
    stretches: list[float] = field(default_factory=list)  # seconds from sign to sign, of this job

    def take(self, job: Job | None) -> None:
        self.job, self.leaving, self.stretches, self.since = job, False, [], time.monotonic()

    def heard(self) -> None:
        """It gave a sign of life."""
        now = time.monotonic()
        self.stretches.append(now - self.since)
        self.since = now

    def overdue(self, *, looked: float) -> tuple[Outcome, str] | None:
        """Why it should be given up, if it should; `looked` is when somebody last listened."""
        assert self.job is not None
        now = time.monotonic()
        if now - looked > ABSENCE:  # we were stopped, or waited for the database: the slots waited for us
            self.since = now
        silent = now - self.since
        patience = max(self.job.patience, PATIENCE * median(self.stretches or [0.0])) if self.born else LEAST_PATIENCE
        if silent > patience:
            return "hung", f"no progress for {silent:.0f} seconds"
        if self.born and self.job.limit is not None and sum(self.stretches) + silent > self.job.limit:
            return "timed-out", f"not done after {self.job.limit:g} seconds"
        return None


class AnySlots(Protocol):
    """After each EpochResult a slot waits for `go_on` or `stop`. It can be killed at any moment."""

    def __len__(self) -> int: ...

    @property
    def idle(self) -> list[int]: ...

    @property
    def busy(self) -> list[int]: ...

    def start(self, index: int, job: Job) -> None: ...

    def go_on(self, index: int) -> None: ...

    def stop(self, index: int) -> None: ...

    def leave(self, index: int) -> None: ...

    def events(self, *, timeout: float) -> list[tuple[int, Job, Event]]: ...

    def measure(self, job: Job, *, leaving: Leaving = ...) -> float: ...


def run_all(slots: AnySlots, jobs: Sequence[Job], *, leaving: Leaving = lambda: False) -> Iterator[tuple[Job, Event]]:
    """Run jobs on whatever slot is idle, in order, each to its end; one whose slot is lost starts again."""
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


def measure(slots: AnySlots, job: Job, *, leaving: Leaving = lambda: False) -> float:
    """Images per second of all slots together, each measuring this job at the same time. Raises SlotError."""
    speeds = [event for _, event in run_all(slots, [job] * len(slots), leaving=leaving)]
    failed = [event for event in speeds if isinstance(event, Failed)]
    if failed:
        raise SlotError(f"the first steps of {job.name} failed: {failed[0].message}\n{failed[0].trace}".rstrip())
    return sum(event.images_per_second for event in speeds if isinstance(event, Speed))


def spent(event: Event) -> bool:
    """Whether the process that said so is gone, or should go: a fresh one has a fresh CUDA context."""
    match event:
        case Lost():
            return True
        case Left():
            return event.signal is not None
        case Failed():
            return event.outcome in ("crashed", "out-of-memory")
        case _:
            return False
