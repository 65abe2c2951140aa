"""Local slots: warm child processes that know torch and nothing of Optuna."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType

from search.running.job import Bench, Event, Failed, Finished, Job, Setting, Speed, run_job
from search.training.train import EpochResult

SPAWN = multiprocessing.get_context("spawn")  # a forked child cannot use CUDA
THE_SUPERVISORS = (signal.SIGINT, signal.SIGHUP)  # a terminal sends them to every process; a slot never takes them
END_OF_JOB = (Finished, Failed, Speed)


@dataclass
class Slot:
    """One child process with the job that it runs."""

    index: int
    setting: Setting
    process: SpawnProcess
    pipe: Connection
    job: Job | None = None
    since: float = field(default_factory=time.monotonic)  # when it last gave a sign of life


class Slots:
    """A fixed number of slots; a dead, hung or exhausted one is replaced by a fresh process.

    After each EpochResult a slot waits for `go_on` or `stop`. It can be killed at any moment.
    """

    def __init__(self, settings: Sequence[Setting], *, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._slots = [self._spawn(index, setting) for index, setting in enumerate(settings)]

    def __len__(self) -> int:
        return len(self._slots)

    def __enter__(self) -> Slots:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def idle(self) -> list[int]:
        return [slot.index for slot in self._slots if slot.job is None]

    @property
    def busy(self) -> list[int]:
        return [slot.index for slot in self._slots if slot.job is not None]

    def start(self, index: int, job: Job) -> None:
        slot = self._slots[index]
        assert slot.job is None, f"slot {index} is busy with {slot.job}"
        if not slot.process.is_alive():
            slot = self._replace(slot)
        try:
            slot.pipe.send(job)
        except OSError:  # it died just now
            slot = self._replace(slot)
            slot.pipe.send(job)
        slot.job, slot.since = job, time.monotonic()

    def go_on(self, index: int) -> None:
        self._answer(index, go_on=True)

    def stop(self, index: int) -> None:
        self._answer(index, go_on=False)
        self._slots[index].job = None

    def events(self, *, timeout: float) -> list[tuple[int, Job, Event]]:
        """What the busy slots said within `timeout` seconds; a dead or hung slot says Failed and is replaced."""
        busy = {slot.pipe: slot for slot in self._slots if slot.job is not None}
        ready = [busy[pipe] for pipe in wait(list(busy), timeout) if isinstance(pipe, Connection)]
        found = [(slot, self._receive(slot)) for slot in ready]
        found += [(slot, self._hung(slot)) for slot in busy.values() if slot not in ready and self._is_hung(slot)]
        answers = []
        for slot, event in found:
            assert slot.job is not None
            answers.append((slot.index, slot.job, event))
            slot.since = time.monotonic()
            if isinstance(event, END_OF_JOB):
                slot.job = None
            if isinstance(event, Failed) and event.outcome in ("crashed", "hung", "out-of-memory"):
                self._replace(slot)  # a fresh process has a fresh CUDA context
        return answers

    def run_all(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Event]]:
        """Run jobs on whatever slot is idle, in order, each to its end."""
        waiting = list(jobs)
        while waiting or self.busy:
            for index in self.idle[: len(waiting)]:
                self.start(index, waiting.pop(0))
            for index, job, event in self.events(timeout=0.5):
                if isinstance(event, EpochResult):
                    self.go_on(index)
                yield job, event

    def measure(self, job: Job) -> float:
        """Images per second of all slots together, each measuring this job at the same time."""
        speeds = [event for _, event in self.run_all([job] * len(self))]
        failed = [event for event in speeds if isinstance(event, Failed)]
        if failed:
            raise SlotError(f"the first steps of {job.name} failed: {failed[0].message}\n{failed[0].trace}".rstrip())
        return sum(event.images_per_second for event in speeds if isinstance(event, Speed))

    def close(self) -> None:
        for slot in self._slots:
            slot.process.kill()
        for slot in self._slots:
            slot.process.join()
            slot.pipe.close()

    def _spawn(self, index: int, setting: Setting) -> Slot:
        pipe, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=serve, args=(theirs, setting, self._log), name=f"slot-{index}", daemon=True)
        resource_tracker.ensure_running()  # its own start would lift the mask
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, THE_SUPERVISORS)
        try:
            process.start()  # it inherits the mask: starting takes seconds, before any handler of its own
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()  # so that the child's end is the only one, and its death is an end of file
        return Slot(index=index, setting=setting, process=process, pipe=pipe)

    def _replace(self, slot: Slot) -> Slot:
        slot.process.kill()
        slot.process.join()
        slot.pipe.close()
        self._slots[slot.index] = self._spawn(slot.index, slot.setting)
        return self._slots[slot.index]

    def _answer(self, index: int, *, go_on: bool) -> None:
        slot = self._slots[index]
        try:
            slot.pipe.send(go_on)
        except OSError:  # it died while it waited: the next look at its pipe says so
            if not go_on:
                self._replace(slot)

    def _receive(self, slot: Slot) -> Event:
        try:
            event: Event = slot.pipe.recv()
        except (EOFError, OSError):
            slot.process.join(timeout=5)
            return Failed(outcome="crashed", message=_last_words(slot.process.exitcode))
        return event

    def _is_hung(self, slot: Slot) -> bool:
        return slot.job is not None and time.monotonic() - slot.since > slot.job.patience

    def _hung(self, slot: Slot) -> Event:
        return Failed(outcome="hung", message=f"no progress for {time.monotonic() - slot.since:.0f} seconds")


class SlotError(RuntimeError):
    """The slots cannot work at all, whatever the candidate."""


def _last_words(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        return f"the slot was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"the slot ended with exit code {exitcode}"


def serve(pipe: Connection, setting: Setting, log: Path) -> None:
    """A slot's whole life, in the child process: take a job, send its events, wait for a word after each epoch."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _write_output_to(log)
    import torch

    torch.set_num_threads(setting.threads)
    torch.backends.cudnn.benchmark = True  # a training has one shape, so that looking for its fastest kernel pays
    bench = Bench(setting=setting)
    while True:
        job: Job = pipe.recv()
        for event in run_job(job, bench):
            pipe.send(event)
            if isinstance(event, EpochResult) and not pipe.recv():
                break


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _write_output_to(log: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
