"""Turns Ctrl-C and similar signals into a flag, so that a long job can end in order."""

import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

BATCH = (signal.SIGUSR1, signal.SIGUSR2)  # a batch system sends one of them before the time of a job is over
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, *BATCH)
CPU_RESERVE = 10  # seconds for each core between SIGXCPU and SIGKILL


class InterruptedSearch(Exception):  # noqa: N818 not an error
    """A signal came, and the same command goes on: a decision was cut off, or a study that could not be closed."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@dataclass
class StopFlag:
    """The first signal that asked this process to stop, if one did."""

    signal: int | None = None


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """The first signal sets the flag; the second raises KeyboardInterrupt.

    A signal that is ignored stays so: nohup and a script's background job hand us SIGHUP and SIGINT like that. So does
    what a program that calls us does at the signals of its batch system.
    Python delivers signals to its main thread only: in another thread the flag is never set.
    """
    flag = StopFlag()
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    sooner = max(hard // 2, hard - CPU_RESERVE * (os.cpu_count() or 1))

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGXCPU:  # or it would come again after each further second
            resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
        if flag.signal is None:
            flag.signal = number
        elif number != signal.SIGXCPU:
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in STOPPING} if main else {}
    before = {number: handler for number, handler in before.items() if _is_ours(number, handler)}
    for number in before:
        signal.signal(number, handle)
    if main and hard != resource.RLIM_INFINITY and soft == hard:  # the kernel would send SIGKILL and no SIGXCPU
        resource.setrlimit(resource.RLIMIT_CPU, (sooner, hard))
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if resource.getrlimit(resource.RLIMIT_CPU) == (sooner, hard):
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _is_ours(number: signal.Signals, handler: object) -> bool:
    return handler is signal.SIG_DFL if number in BATCH else handler is not signal.SIG_IGN
