"""Signals that are ignored, readers that leave, terminals that close, faults of ours: the log of the search has it all.

The real command line on real processes; only the training is a stub.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from places import TRIALS, Place, gone

LAST = rf"{TRIALS} complete in .*; best: trial \d"


def logged(place: Place) -> list[str]:
    """The lines of the search's log, without their times."""
    lines = (place.runs / "smoke" / "search.log").read_text().splitlines()
    assert all(re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d  ", line) for line in lines)
    return [line.partition("  ")[2] for line in lines]


@pytest.mark.fault("SIGHUP after nohup, SIGINT to a script's background job", then="the search and its slots go on")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_is_ignored_stops_nothing(place: Place, number: signal.Signals) -> None:
    first = place.start(ignored=[number])
    first.until("trial 1 epoch 1/3")
    os.killpg(first.pid, number)  # the search and its slots

    assert all(trial.losses == () for trial in place.completed(first).trials)
    assert "goes on from its checkpoint" not in first.output
    start, *lines = logged(place)
    assert start == f"process {first.pid}: cifar-search {' '.join(first.arguments)}"
    assert lines == first.output.splitlines()


@pytest.mark.fault("the reader of the output leaves (`| head -1`)", then="the search goes on to its end; exit 0")
def test_the_search_goes_on_without_a_reader(place: Place) -> None:
    os.mkfifo(output := place.outputs / "pipe")
    first = place.start(output=output)
    with output.open() as reader:
        assert "2 slots" in reader.readline()

    place.completed(first)
    assert re.match(LAST, logged(place)[-1])


@pytest.mark.fault("Ctrl-C to `run | tee`, which ends first", then="exit 130; the last line is in the log")
def test_ctrl_c_ends_a_search_without_a_reader_in_order(place: Place) -> None:
    os.mkfifo(output := place.outputs / "pipe")
    first = place.start(output=output)
    with output.open() as reader:
        while "trial 1 epoch 1/3" not in reader.readline():
            pass
    first.kill(signal.SIGINT)

    assert gone(first) == 130
    assert "put back" in logged(place)[-1]
    place.finish()
    place.check()


@dataclass
class Terminal:
    """A terminal, and all that it has shown."""

    leader: int
    path: Path
    shown: bytes = b""

    def until(self, text: bytes) -> None:
        while text not in self.shown:
            self.shown += os.read(self.leader, 2**16)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    leader, follower = os.openpty()
    yield Terminal(leader, Path(os.ttyname(follower)))
    os.close(follower)


@pytest.mark.fault("a terminal that shows ASCII alone", then="other letters are replaced; the live picture too")
def test_a_terminal_without_our_letters(place: Place, terminal: Terminal) -> None:
    first = place.start(output=terminal.path, PYTHONIOENCODING="ascii", TERM="xterm")
    terminal.until(b"4 complete in")

    place.completed(first)
    assert b"measuring this machine ?" in terminal.shown
    assert terminal.shown.isascii()
    os.close(terminal.leader)


@pytest.mark.fault("the terminal is closed, and SIGHUP ignored", then="the search goes on; all is in its log")
def test_a_terminal_that_closes(place: Place, terminal: Terminal) -> None:
    first = place.start(output=terminal.path, TERM="xterm", ignored=[signal.SIGHUP])
    terminal.until(b"trial 1 epoch 1/3")
    os.close(terminal.leader)

    place.completed(first)
    assert re.match(LAST, logged(place)[-1])


@pytest.mark.fault("a fault of ours", then="exit 1 with the traceback, which is in the log too; trials wait")
def test_a_fault_of_ours_keeps_its_traceback(place: Place) -> None:
    first = place.start(fault_of_ours=True, STUB_PATIENCE="soon")  # no number
    assert first.end() == 1
    assert "ValueError: could not convert string to float: 'soon'" in first.output
    assert "ValueError: could not convert string to float: 'soon'" in logged(place)
    place.finish()
    place.check()


def test_a_traceback_without_such_a_word_fails_a_test(place: Place) -> None:
    first = place.start(STUB_PATIENCE="soon")
    with pytest.raises(AssertionError, match="Traceback"):
        first.end()
