"""The life of a slot's process: it runs the jobs that come, and sends their events."""

from __future__ import annotations

import faulthandler
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

from search.slots.job import Command, Job, MakeRun, Paused
from search.slots.signals import STOPPING, StopFlag, stop_flag
from search.training.result import EpochResult

LOSABLE = "1000"  # the most: where memory runs out, the kernel ends a slot and not its supervisor


def serve(pipe: Connection) -> int:
    """Run jobs and send their events until a signal comes or the supervisor ends; returns the exit code."""
    settings, work, log, folder = pipe.recv()
    os.chdir(folder)  # the paths of a job may be relative
    with suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text(LOSABLE, encoding="utf-8")
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
        with suppress(EOFError, BrokenPipeError):  # the supervisor ended
            while job := commands.next_job():
                for event in run(job, commands.should_pause):
                    pipe.send(Paused(signal=flag.signal) if isinstance(event, Paused) else event)
                    if isinstance(event, EpochResult) and not commands.wait_for_answer():
                        break
        return 0 if flag.signal is None else 128 + flag.signal


@dataclass
class Commands:
    """What the supervisor sends through the pipe."""

    pipe: Connection
    flag: StopFlag
    _pause: bool = False  # the supervisor asked for it

    def next_job(self) -> Job | None:
        """The next job; None if a signal came."""
        self._pause = False
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
