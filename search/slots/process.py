"""A slot's whole life, inside its process."""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

from search.slots.job import Job, Left, Setting, Word, Work
from search.slots.signals import STOPPING, StopFlag, stop_flag
from search.training.result import EpochResult

LOOK = 0.05  # seconds between two looks at the pipe while training
PDEATHSIG = 1  # prctl's PR_SET_PDEATHSIG


def serve(pipe: Connection, setting: Setting, work: str, log: Path) -> None:
    """Take a job, send its events, wait for a word after each epoch; until a signal, or the supervisor's end."""
    _die_with_parent()
    _write_output_to(log)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    with stop_flag() as flag:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        make: Work = resolve_name(work)
        run = make(setting)
        pipe.send(None)  # born
        line = Line(pipe, flag)
        while job := line.next_job():
            for event in run(job, line.leaving):
                pipe.send(Left(signal=flag.signal) if isinstance(event, Left) else event)
                if isinstance(event, EpochResult) and not line.wanted():
                    break
            if flag.signal is not None:
                break
        if flag.signal is not None:
            sys.exit(128 + flag.signal)


@dataclass
class Line:
    """A slot's end of the pipe."""

    pipe: Connection
    flag: StopFlag
    _asked: bool = False  # to leave
    _looked: float = 0.0

    def next_job(self) -> Job | None:
        """The next job; None when a signal asked to stop, or the other end is gone."""
        self._asked = False
        try:
            while True:
                while not self.pipe.poll(0.5):
                    if self.flag.signal is not None:
                        return None
                said: Job | Word = self.pipe.recv()
                if isinstance(said, Job):  # else it was a word that crossed with the end of the last job
                    return said
        except (EOFError, OSError):
            return None

    def wanted(self) -> bool:
        """The answer to an EpochResult."""
        word: Word = self.pipe.recv()
        self._asked = word == "leave"
        return word != "stop"

    def leaving(self) -> bool:
        now = time.monotonic()
        if not self._asked and now - self._looked > LOOK:
            self._looked = now
            self._asked = self.pipe.poll() and self.pipe.recv() == "leave"
        return self._asked or self.flag.signal is not None


def _die_with_parent() -> None:
    """The supervisor's end is noticed by a thread, and that of the server that forked us by the kernel."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
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
