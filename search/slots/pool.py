"""Local slots: warm child processes that know nothing of Optuna."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from search.container import Container
from search.slots.job import Command, Condition, Event, Job, Lost, SlotSettings
from search.slots.server import STACKS, SlotProcess, start_slot
from search.slots.slot_state import BasePool, SlotState, check_cpu_time

TRAINING = "search.slots.job_runner:work"
STACKS_SECONDS = 1.0  # for a silent slot to write its stacks
MEMORY_LOSSES = 2  # of slots, before there is one slot less


@dataclass(kw_only=True)
class Slot(SlotState):
    """One child process with the job that it runs."""

    settings: SlotSettings
    process: SlotProcess
    pipe: Connection

    def send(self, command: Command) -> None:
        self.since = time.monotonic()
        with suppress(OSError):  # it died while it waited: the next read of its pipe tells
            self.pipe.send(command)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Pool(BasePool):
    """A fixed number of slots, each of which can be killed at any moment; a fresh process takes its place."""

    _slots: dict[int, Slot]

    def __init__(self, settings: Sequence[SlotSettings], *, log: Path, work: str = TRAINING) -> None:
        """`work` names a job.MakeRun as module:function, since only the slots need to import it. Raises SlotError."""
        super().__init__(log=log)
        if log.parent.is_dir():
            log.open("ab").close()  # raises OSError: a slot that cannot write it could say so nowhere
        self._work, self._container = work, Container()
        self._memory_kills, self._memory_losses = self._container.memory_kills(), 0
        self._slots = {index: self._spawn(each) for index, each in enumerate(settings)}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        return [slot.process.pid for slot in self._slots.values()]

    def start(self, index: int, job: Job) -> None:
        assert index in self.idle, f"slot {index} is busy"
        try:
            self._slots[index].pipe.send(job)
        except OSError:  # it died while it was idle
            self._replace(index)
            self._slots[index].pipe.send(job)
        self._slots[index].assign(job)

    def measure(self, job: Job, *, interrupted: Condition = lambda: False) -> float:
        """Images per second of all slots together, again where memory left fewer of them. Raises SlotError."""
        slots, speed = len(self), super().measure(job, interrupted=interrupted)
        return speed if len(self) == slots else self.measure(job, interrupted=interrupted)

    def close(self) -> None:
        for slot in self._slots.values():
            slot.process.kill()  # all of them before the first is waited for
        for slot in self._slots.values():
            slot.kill()

    def _spawn(self, settings: SlotSettings) -> Slot:
        first = settings, self._work, self.log, Path.cwd()
        pipe, process = start_slot(self._work, log=self.log, first=first)
        return Slot(settings=settings, process=process, pipe=pipe)

    def _replace(self, index: int) -> None:
        self._slots[index].kill()
        if self._memory_losses >= MEMORY_LOSSES and len(self) > 1:
            del self._slots[index]
            self._memory_losses = 0
        else:
            self._slots[index] = self._spawn(self._slots[index].settings)

    def _receive_all(self, timeout: float) -> dict[int, Event | None]:
        busy = {index: self._slots[index] for index in self.busy}
        readable = wait([slot.pipe for slot in busy.values()], timeout)  # without a pipe it only sleeps
        return {index: self._receive(slot) for index, slot in busy.items() if slot.pipe in readable}

    def _receive(self, slot: Slot) -> Event | None:
        try:
            event: Event | None = slot.pipe.recv()
        except (EOFError, OSError):
            return self._lost(slot)
        if event is None:
            slot.ready, slot.since, self._failed_starts = True, time.monotonic(), 0
        return event

    def _lost(self, slot: Slot) -> Lost:
        """Why a slot died. Where memory ran out for several slots, it counts for none; soon there is one less."""
        slot.process.join(timeout=5)
        code, limit = slot.process.exitcode, self._container.memory()[0]
        check_cpu_time(code and code - 128)
        memory = code == -signal.SIGKILL and self._container.memory_kills() > self._memory_kills
        shared, message = memory and len(self) > 1, _describe_exit(code)
        if memory:
            self._memory_kills, self._memory_losses = self._memory_kills + 1, self._memory_losses + 1
            has = f", of which the container has {limit / 2**30:.1f} GB" * math.isfinite(limit)
            message = f"the slot was killed because memory ran out{has}" + "; fewer slots need less: --slots 1" * shared
        if not (slot.ready or shared):
            self._start_failed(message)
        return Lost(outcome="out-of-memory" if memory else "crashed", message=message, counts=slot.ready and not shared)

    def _with_stacks(self, index: int, lost: Lost) -> Lost:
        pid, size = self._slots[index].process.pid, self.log.stat().st_size
        if self._slots[index].ready:
            os.kill(pid, STACKS)
            time.sleep(STACKS_SECONDS)
        logged = self.log.stat().st_size > size  # a process that is stopped, for example, writes nothing
        return replace(lost, message=lost.message + f"; the stacks of its threads are in {self.log}" * logged)


def _describe_exit(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"the slot ended with exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"the slot was killed by {name}" + " (out of memory?)" * (name == "SIGKILL")
