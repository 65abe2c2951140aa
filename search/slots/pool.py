"""Local slots: warm child processes that know nothing of Optuna."""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from pkgutil import resolve_name

from search.slots.job import Command, Event, Job, Lost, MakeRun, Paused, SlotSettings
from search.slots.signals import STOPPING, StopFlag, stop_flag
from search.slots.slot_state import BasePool, SlotError, SlotState
from search.training.result import EpochResult

# A server imports torch once, starts no thread and touches no GPU; a slot is its fork, ready in a tenth of a second.
SERVER = multiprocessing.get_context("forkserver")
TRAINING = "search.slots.job_runner:work"
PDEATHSIG = 1  # the option PR_SET_PDEATHSIG of prctl
STACKS_SECONDS = 1.0  # for a silent slot to write its stacks


@dataclass(kw_only=True)
class Slot(SlotState):
    """One child process with the job that it runs."""

    settings: SlotSettings
    process: ForkServerProcess
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
        log.open("ab").close()  # raises OSError: a slot that cannot write it could say so nowhere
        self._work = work
        SERVER.set_forkserver_preload([__name__, work.partition(":")[0]])
        self._slots = {index: self._spawn(index, each) for index, each in enumerate(settings)}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        return [slot.process.pid for slot in self._slots.values() if slot.process.pid is not None]

    def start(self, index: int, job: Job) -> None:
        assert index in self.idle, f"slot {index} is busy"
        try:
            self._slots[index].pipe.send(job)
        except OSError:  # it died while it was idle
            self._replace(index)
            self._slots[index].pipe.send(job)
        self._slots[index].assign(job)

    def close(self) -> None:
        for slot in self._slots.values():
            slot.process.kill()  # all of them before the first is waited for
        for slot in self._slots.values():
            slot.kill()

    def _spawn(self, index: int, settings: SlotSettings) -> Slot:
        pipe, child_pipe = SERVER.Pipe()
        arguments = child_pipe, settings, self._work, self.log
        process = SERVER.Process(target=serve, args=arguments, name=f"slot-{index}", daemon=True)
        resource_tracker.ensure_running()  # if process.start() started it, that would unblock the signals
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            process.start()  # server and slot inherit the mask: the server keeps it, the slot lifts it when ready
        except (OSError, EOFError) as error:
            raise SlotError(f"no slot can be started: {error or type(error).__name__}; see {self.log}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        child_pipe.close()  # so that only the child holds this end, and its death is an end of file
        return Slot(settings=settings, process=process, pipe=pipe)

    def _replace(self, index: int) -> None:
        self._slots[index].kill()
        self._slots[index] = self._spawn(index, self._slots[index].settings)

    def _receive_all(self, timeout: float) -> dict[int, Event | None]:
        busy = {index: self._slots[index] for index in self.busy}
        readable = wait([slot.pipe for slot in busy.values()], timeout)  # without a pipe it only sleeps
        return {index: self._receive(slot) for index, slot in busy.items() if slot.pipe in readable}

    def _receive(self, slot: Slot) -> Event | None:
        try:
            event: Event | None = slot.pipe.recv()
        except (EOFError, OSError):
            slot.process.join(timeout=5)
            message = _describe_exit(slot.process.exitcode)
            if not slot.ready:
                self._start_failed(message)
            return Lost(outcome="crashed", message=message, counts=slot.ready)
        if event is None:
            slot.ready, slot.since, self._failed_starts = True, time.monotonic(), 0
        return event

    def _with_stacks(self, index: int, lost: Lost) -> Lost:
        pid, size = self._slots[index].process.pid, self.log.stat().st_size
        if self._slots[index].ready and pid is not None:
            os.kill(pid, signal.SIGUSR1)
            time.sleep(STACKS_SECONDS)
        logged = self.log.stat().st_size > size  # a process that is stopped, for example, writes nothing
        return replace(lost, message=lost.message + f"; the stacks of its threads are in {self.log}" * logged)


def _describe_exit(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"the slot ended with exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"the slot was killed by {name}" + " (out of memory?)" * (name == "SIGKILL")


def serve(pipe: Connection, settings: SlotSettings, work: str, log: Path) -> None:
    """The life of a child process: run jobs and send their events until a signal comes or the supervisor ends."""
    _die_with_parent()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    with stop_flag() as flag:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        make_run: MakeRun = resolve_name(work)
        run = make_run(settings)
        pipe.send(None)  # ready
        commands = Commands(pipe, flag)
        while job := commands.next_job():
            for event in run(job, commands.should_pause):
                pipe.send(Paused(signal=flag.signal) if isinstance(event, Paused) else event)
                if isinstance(event, EpochResult) and not commands.wait_for_answer():
                    break
        if flag.signal is not None:
            sys.exit(128 + flag.signal)


@dataclass
class Commands:
    """What the supervisor sends through the pipe."""

    pipe: Connection
    flag: StopFlag
    _pause: bool = False  # the supervisor asked for it

    def next_job(self) -> Job | None:
        """The next job; None if a signal came or the supervisor ended."""
        self._pause = False
        with suppress(EOFError, OSError):
            while self.pipe.poll(0.5) or self.flag.signal is None:
                # A command was for the previous job, which had just ended.
                if self.pipe.poll() and isinstance(job := self.pipe.recv(), Job):
                    return job
        return None

    def wait_for_answer(self) -> bool:
        """Whether the training continues after an EpochResult."""
        command: Command = self.pipe.recv()
        self._pause = command == "pause"
        return command != "stop"

    def should_pause(self) -> bool:
        self._pause = self._pause or (self.pipe.poll() and self.pipe.recv() == "pause")  # a poll takes 5 microseconds
        return self._pause or self.flag.signal is not None


def _die_with_parent() -> None:
    """End when the supervisor ends, which a thread watches, or the fork server, which the kernel watches."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_exit_after, args=(multiprocessing.parent_process(),), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
