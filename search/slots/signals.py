"""Ctrl-C and its kin set a flag; the long job looks at it and leaves in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedSearch(Exception):  # noqa: N818 not an error
    """A signal came when the study could not be closed in order, for it was not open yet or did not answer."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@dataclass
class StopFlag:
    """The signal that asked to stop, if one did."""

    signal: int | None = None


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """The first signal sets the flag, a second one leaves at once by KeyboardInterrupt.

    Python hands signals to its main thread only: in another thread the flag is never set.
    """
    flag = StopFlag()

    def answer(number: int, _frame: FrameType | None) -> None:
        if flag.signal is not None:
            raise KeyboardInterrupt
        flag.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.signal(number, answer) for number in STOPPING}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
