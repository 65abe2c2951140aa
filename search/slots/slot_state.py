"""What all slots share, whether they are local processes or Ray actors."""

import signal
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from search.errors import DataError, UserError
from search.slots.job import Began, Command, Condition, Event, Failed, Finished, Job, Lost, Paused, ends_process
from search.training.result import EpochResult

SUPERVISOR_PAUSE = 30.0  # seconds: if the supervisor itself paused for so long, the slots waited for it
RETRIES = 2  # of a job whose slot was lost
MAX_FAILED_STARTS = 3  # in a row, before the pool gives up starting slots


class SlotError(UserError):
    """The slots cannot work, whatever the candidate is."""

    exit_code = 6


def check_blame(before: Failed | None, failed: Failed) -> None:
    """Raise SlotError or DataError if two trainings in a row crashed alike before their first step."""
    if before and before.at_start and failed.at_start and before.message == failed.message:
        data, cause = failed.message.startswith("DataError: "), failed.message.removeprefix("DataError: ")
        rule = "two trainings in a row crashed alike before their first step, which is no fault of theirs"
        raise (DataError if data else SlotError)(f"{rule}: {cause}; mend that, and the same command goes on")


def check_cpu_time(stopped_by: int | None) -> None:
    """Raise SlotError if a slot was stopped because it used up its CPU time, which is no fault of its training."""
    if stopped_by == signal.SIGXCPU:
        rule = "a slot used up the CPU time that this shell allows a process (ulimit -t)"
        raise SlotError(f"{rule}; its training waits: raise that limit, and the same command goes on")


@dataclass(kw_only=True)
class SlotState(ABC):
    """The job of a slot, and how long the slot has been silent."""

    ready: bool = False  # the slot has started and can take a job
    job: Job | None = None
    pausing: bool = False  # it was asked to pause its job
    since: float = field(default_factory=time.monotonic)  # time of the last message in either direction
    seconds: float = 0.0  # that this job took until its last event

    @abstractmethod
    def send(self, command: Command) -> None:
        """Send a command to the slot."""

    def assign(self, job: Job | None) -> None:
        """Note that the slot has this job now, or none."""
        self.job, self.pausing, self.seconds, self.since = job, False, 0.0, time.monotonic()

    def received(self, event: Event) -> Job:
        """Note the time of an event, whose job is returned; the last event of a job frees the slot."""
        job, now = self.job, time.monotonic()
        assert job is not None
        self.seconds, self.since = self.seconds + now - self.since, now
        if not isinstance(event, Began | EpochResult):
            self.assign(None)
        return job

    def overdue(self, *, last_read: float) -> Lost | None:
        """Why the slot must be given up, if it must; `last_read` is when the supervisor last read the events."""
        assert self.job is not None
        now = time.monotonic()
        if now - last_read > SUPERVISOR_PAUSE:  # the process was stopped, or waited for the database
            self.since = now
        silent = now - self.since
        if silent > (self.job.patience if self.ready else Job.patience):
            return Lost(outcome="hung", message=f"no progress for {silent:.0f} seconds", counts=self.ready)
        if self.ready and self.job.limit is not None and self.seconds + silent > self.job.limit:
            return Lost(outcome="timed-out", message=f"not done after {self.job.limit:g} seconds")
        return None


@dataclass(kw_only=True, eq=False)
class BasePool(ABC):
    """The slots of this machine or of a cluster. After each EpochResult a slot waits for `go_on` or `stop`."""

    log: Path
    _slots: Mapping[int, SlotState] = field(default_factory=dict, init=False)
    _last_read: float = field(default_factory=time.monotonic, init=False)  # when messages were last read
    _failed_starts: int = field(default=0, init=False)  # in a row

    @abstractmethod
    def start(self, index: int, job: Job) -> None:
        """Give an idle slot a job."""

    @abstractmethod
    def _receive_all(self, timeout: float) -> dict[int, Event | None]:
        """The next message of each slot that sent one (None: no event); waits until one slot does."""

    @abstractmethod
    def _replace(self, index: int) -> None:
        """Kill a slot; a new one takes its place."""

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def idle(self) -> list[int]:
        return sorted(index for index, slot in self._slots.items() if slot.job is None)

    @property
    def busy(self) -> list[int]:
        return sorted(index for index, slot in self._slots.items() if slot.job is not None)

    def go_on(self, index: int) -> None:
        """Answer an EpochResult: the training continues. A slot that was asked to pause needs no answer."""
        if not self._slots[index].pausing:
            self._slots[index].send("continue")

    def stop(self, index: int) -> None:
        """Answer an EpochResult: the training is stopped, and the slot is idle at once."""
        if self._slots[index].pausing:
            self._replace(index)
        else:
            self._slots[index].send("stop")
            self._slots[index].assign(None)

    def pause(self, index: int) -> None:
        """Ask a slot to save a checkpoint and to send Paused, which it does after the current step."""
        self._slots[index].send("pause")
        self._slots[index].pausing = True

    def events(self, *, timeout: float) -> list[tuple[int, Job, Event]]:
        """The events of the busy slots within `timeout` seconds; a dead or overdue slot is Lost and replaced.

        Raises SlotError if slot after slot dies at its start, or ClusterError if no node has room for one.
        """
        messages = self._receive_all(timeout)
        for index in self.busy:
            if index not in messages and (lost := self._slots[index].overdue(last_read=self._last_read)):
                messages[index] = self._with_stacks(index, lost)
        self._last_read = time.monotonic()
        events = []
        for index, event in messages.items():
            if event is None:
                continue
            job = self._slots[index].received(event)
            check_cpu_time(event.signal if isinstance(event, Paused) else None)
            events.append((index, job, event))
            if ends_process(event):
                self._replace(index)
        return events

    def run_all(self, jobs: Sequence[Job], *, interrupted: Condition = lambda: False) -> Iterator[tuple[Job, Event]]:
        """Run each job to its end on the next idle slot; a job whose slot is lost or stopped goes on on another one.

        An epoch's result is answered when the caller comes back for more: no checkpoint lies beyond what it has kept.
        """
        waiting = list(jobs)
        losses = Counter[str]()
        while (waiting or self.busy) and not interrupted():
            for index in self.idle[: len(waiting)]:
                self.start(index, waiting.pop(0))
            for index, job, event in self.events(timeout=0.5):
                losses[job.name] += isinstance(event, Lost) and event.counts
                if isinstance(event, EpochResult):
                    self._slots[index].job = replace(job, reported=event.epoch)
                    yield job, event
                    self.go_on(index)
                elif not isinstance(event, Lost | Paused):
                    yield job, event
                elif isinstance(event, Lost) and losses[job.name] > RETRIES:
                    yield job, Failed(outcome=event.outcome, message=event.message)
                else:
                    waiting.append(job)

    def leave(self, seconds: float) -> Iterator[tuple[Job, Event]]:
        """Let every busy slot keep what it has done, for so long at most."""
        for index in self.busy:
            self.pause(index)
        deadline = time.monotonic() + seconds
        while self.busy and time.monotonic() < deadline:
            yield from ((job, event) for _, job, event in self.events(timeout=0.5))

    def measure(self, job: Job, *, interrupted: Condition = lambda: False) -> float:
        """Images per second of all slots together while all of them run this job. Raises SlotError."""
        events = [event for _, event in self.run_all([job] * len(self), interrupted=interrupted)]
        for event in events:
            if isinstance(event, Failed):
                raise SlotError(f"the first steps of {job.name} failed: {event.message}\n{event.trace}".rstrip())
        return sum(event.images_per_second or 0.0 for event in events if isinstance(event, Finished))

    def _with_stacks(self, index: int, lost: Lost) -> Lost:  # noqa: ARG002
        """Add where the stacks of a silent slot's threads can be read, if they can."""
        return lost

    def _start_failed(self, message: str) -> None:
        self._failed_starts += 1
        if self._failed_starts == MAX_FAILED_STARTS:
            raise SlotError(f"{MAX_FAILED_STARTS} slots in a row ended before they began: {message}; see {self.log}")
