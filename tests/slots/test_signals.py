"""What stops a long job, and what does not."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

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
