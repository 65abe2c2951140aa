"""Standard streams whose reader leaves, that take no more, or that are no streams at all."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import forked

from search.console import streams
from search.console.streams import Output

PROGRAM = Path(sys.executable).with_name("cifar-search")


@pytest.fixture
def pipe() -> Iterator[tuple[int, Output]]:
    """The end that reads, and a stream into the other."""
    reader, writer = os.pipe()
    with Output(writer, "w") as output:
        yield reader, output


def test_what_is_written_is_read_until_the_reader_leaves(pipe: tuple[int, Output]) -> None:
    reader, output = pipe
    assert output.write(b"one\n") == 4
    assert os.read(reader, 100) == b"one\n"
    os.close(reader)

    assert (output.write(b"two\n"), output.write(b"three\n")) == (4, 6)
    assert output.left


def test_a_terminal_that_is_closed_is_a_reader_that_left() -> None:
    leader, follower = os.openpty()
    with Output(follower, "w") as output:
        os.close(leader)
        assert output.write(b"x") == 1
        assert output.left


def test_a_full_place_is_named_once() -> None:
    with Output(os.open("/dev/full", os.O_WRONLY), "w") as output:
        with pytest.raises(OSError, match="cannot write the output: No space left on device; send it elsewhere"):
            output.write(b"x")
        assert output.write(b"x") == 1  # what was buffered, at the end


def test_letters_that_cannot_be_shown_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = io.TextIOWrapper(io.BytesIO(), "ascii")
    for name in ("stdout", "__stdout__"):
        monkeypatch.setattr(sys, name, poor)

    streams.prepare()

    assert (sys.stdout.encoding, sys.stdout.errors) == ("ascii", "replace")


@pytest.mark.parametrize("value", ["0", "000", ""])
def test_a_width_of_nothing_is_none(
    value: str, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = call("spaces")
    monkeypatch.setenv("COLUMNS", value)

    assert "Tiny networks" in usual[1]
    assert call("spaces") == usual


def test_the_place_of_a_closed_stream_is_taken_by_nothing_else() -> None:
    """Where standard error is closed, a pipe to a slot would take its place, and the slot would end at once."""

    def started_without() -> None:
        for number in range(3):
            os.close(number)
        streams.prepare()
        assert os.open(os.devnull, os.O_RDONLY) > 2
        assert all(map(os.get_inheritable, range(3)))

    assert forked(started_without) == 0


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        ("| true", 0, ""),
        ("> /dev/full", 5, "cifar-search: [Errno 28] cannot write the output: No space left on device; "),
    ],
)
def test_the_program_leaves_in_order_when_its_output_is_gone(output: str, code: int, said: str) -> None:
    command = ["bash", "-o", "pipefail", "-c", f"{PROGRAM} spaces {output}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr[: len(said or "x")]) == (code, said)
