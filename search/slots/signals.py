"""Turns Ctrl-C and similar signals into a flag, so that a long job can end in order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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

    A signal that is ignored stays so: nohup and a script's background job hand us SIGHUP and SIGINT like that.
    Python delivers signals to its main thread only: in another thread the flag is never set.
    """
    flag = StopFlag()

    def handle(number: int, _frame: FrameType | None) -> None:
        if flag.signal is not None:
            raise KeyboardInterrupt
        flag.signal = number

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in STOPPING} if main else {}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
