"""What stops a long job, and what does not."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Iterator

import pytest
from tiny import forked

from search.slots.signals import STOPPING, stop_flag


@pytest.fixture(autouse=True)
def _dispositions() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("ignored", STOPPING)
def test_what_was_ignored_stays_ignored_and_the_others_stop(ignored: signal.Signals) -> None:
    usual, other = signal.getsignal(ignored), next(number for number in STOPPING if number != ignored)
    signal.signal(ignored, signal.SIG_IGN)
    with stop_flag() as flag:
        signal.raise_signal(ignored)
        assert flag.signal is None
        signal.raise_signal(other)
        assert flag.signal == other
    assert signal.getsignal(ignored) is signal.SIG_IGN
    signal.signal(ignored, usual)


def test_the_second_signal_does_not_wait() -> None:
    with stop_flag():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_what_a_program_that_calls_us_does_at_the_signal_of_its_batch_system_stays() -> None:
    seen: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    with stop_flag() as flag:
        signal.raise_signal(signal.SIGUSR1)
        assert (seen, flag.signal) == ([signal.SIGUSR1], None)
        signal.raise_signal(signal.SIGUSR2)
        assert flag.signal == signal.SIGUSR2


def used_up() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
    with stop_flag() as flag:
        while flag.signal is None:
            pass
        while time.process_time() < 1.7:  # long enough for the kernel to send it again
            pass
        assert flag.signal == signal.SIGXCPU


def test_a_limit_of_cpu_time_is_told_before_it_kills_and_once() -> None:
    assert forked(used_up) == 0
    before = resource.getrlimit(resource.RLIMIT_CPU)
    with stop_flag():
        pass
    assert resource.getrlimit(resource.RLIMIT_CPU) == before
