"""Local slots: warm child processes that know nothing of Optuna."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType

from search.slots.job import Event, Job, Leaving, Lost, Setting, Word
from search.slots.process import serve
from search.slots.signals import STOPPING
from search.slots.slot_state import BasePool, SlotError, SlotState, run_all

# A server imports torch once, starts no thread and touches no GPU; a slot is its fork, ready in a tenth of a second.
SERVER = multiprocessing.get_context("forkserver")
TRAINING = "search.slots.job_runner:work"


@dataclass(kw_only=True)
class Slot(SlotState):
    """One child process with the job that it runs."""

    setting: Setting
    process: ForkServerProcess
    pipe: Connection

    def say(self, word: Word) -> None:
        self.since = time.monotonic()
        with suppress(OSError):  # it died while it waited: the next look at its pipe says so
            self.pipe.send(word)


class Slots(BasePool[Slot]):
    """A fixed number of slots; a dead, hung or exhausted one is replaced by a fresh process.

    After each EpochResult a slot waits for `go_on` or `stop`. It can be killed at any moment.
    """

    def __init__(self, settings: Sequence[Setting], *, log: Path, work: str = TRAINING) -> None:
        """`work` names a job.Work as module:function, since only the slots need to import it. Raises SlotError."""
        super().__init__(log=log)
        self._work = work
        SERVER.set_forkserver_preload([serve.__module__, work.partition(":")[0]])
        self._slots = {index: self._spawn(index, setting) for index, setting in enumerate(settings)}

    def __enter__(self) -> Slots:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The process of each."""
        return [slot.process.pid for slot in self._slots.values() if slot.process.pid is not None]

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
        slot.assign(job)

    def run_all(self, jobs: Sequence[Job], *, leaving: Leaving = lambda: False) -> Iterator[tuple[Job, Event]]:
        """See slot_state.run_all."""
        return run_all(self, jobs, leaving=leaving)

    def close(self) -> None:
        for slot in self._slots.values():
            slot.process.kill()
        for slot in self._slots.values():
            slot.process.join()
            slot.pipe.close()

    def _spawn(self, index: int, setting: Setting) -> Slot:
        pipe, theirs = SERVER.Pipe()
        process = SERVER.Process(
            target=serve, args=(theirs, setting, self._work, self.log), name=f"slot-{index}", daemon=True
        )
        resource_tracker.ensure_running()  # its own start would lift the mask
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            process.start()  # server and slot inherit the mask: the one never lifts it, the other when it listens
        except (OSError, EOFError) as error:
            raise SlotError(f"no slot can be started: {error or type(error).__name__}; see {self.log}") from None
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

    def _receive_all(self, timeout: float) -> list[tuple[Slot, Event]]:
        busy = {slot.pipe: slot for slot in self._slots.values() if slot.job is not None}
        if not busy:
            time.sleep(timeout)
        ready = [busy[pipe] for pipe in wait(list(busy), timeout if busy else 0) if isinstance(pipe, Connection)]
        received = [(slot, event) for slot in ready if (event := self._receive(slot))]
        received += [(slot, event) for slot in busy.values() if slot not in ready and (event := self._overdue(slot))]
        self._looked = time.monotonic()
        return received

    def _receive(self, slot: Slot) -> Event | None:
        try:
            event: Event | None = slot.pipe.recv()
        except (EOFError, OSError):
            slot.process.join(timeout=5)
            return self._died(slot)
        if event is None:
            slot.ready, slot.since, self._failed_starts = True, time.monotonic(), 0
        return event

    def _died(self, slot: Slot) -> Lost:
        message = _last_words(slot.process.exitcode)
        if not slot.ready:
            self._start_failed(message)
        return Lost(outcome="crashed", message=message, counts=slot.ready)

    def _overdue(self, slot: Slot) -> Lost | None:
        reason = slot.overdue(looked=self._looked)
        if reason is None:
            return None
        outcome, message = reason
        if self._dumped(slot):
            message += f"; the stacks of its threads are in {self.log}"
        return Lost(outcome=outcome, message=message, counts=slot.ready)

    def _dumped(self, slot: Slot) -> bool:
        """Whether it wrote what each of its threads is doing."""
        if not slot.ready or slot.process.pid is None:
            return False
        size = self.log.stat().st_size
        os.kill(slot.process.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 2
        while self.log.stat().st_size == size and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.05)  # for the rest of them
        return self.log.stat().st_size > size


def _last_words(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        return f"the slot was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"the slot ended with exit code {exitcode}"
