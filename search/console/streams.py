"""The standard streams, made so that neither a reader who left nor an odd letter or width ends a command."""

import errno
import io
import os
import sys
from typing import Any


class Output(io.FileIO):
    """A standard stream; what is written after its reader has left goes nowhere."""

    left = False

    def write(self, data: Any) -> int:
        """Write what can be written; raises OSError once, but where errors go, nobody can be told."""
        try:
            return len(data) if self.left else super().write(data)
        except OSError as error:
            self.left = True
            if error.errno in (errno.EPIPE, errno.EIO) or self.fileno() == 2:  # a pipe or a terminal is closed
                return len(data)
            raise OSError(error.errno, f"cannot write the output: {error.strerror}; send it elsewhere") from None


def prepare() -> None:
    """Put such streams in the place of the standard ones, and forget a width that shows nothing."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:  # one is closed: any other file would take its place
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):  # neither a test's nor prepared before
            buffer = io.BufferedWriter(Output(number, "w", closefd=False))
            output = io.TextIOWrapper(buffer, stream and stream.encoding, errors="replace", line_buffering=True)
            setattr(sys, name, output)
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "1").strip("0"):  # as some that start us without a terminal set it
            del os.environ[name]


def reader_left() -> bool:
    """Whether nobody reads the output any more."""
    output = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(output, Output) and output.left
