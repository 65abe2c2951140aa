"""Starts and stops the real command line for the tests of faults, each start a fork of one warm process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 60.0  # seconds before a test gives up


@dataclass
class Start:
    """One start of the command line."""

    pid: int
    arguments: tuple[str, ...]
    file: Path  # of its output
    zygote: Zygote
    errors: Path  # of its standard error, mostly the same
    fault_of_ours: bool  # it is simulated, and only then a traceback is right
    code: int | None = None

    @property
    def output(self) -> str:
        """What is in its files; a pipe or a terminal is read by the test."""
        return "".join(file.read_text() for file in dict.fromkeys((self.file, self.errors)) if file.is_file())

    def until(self, text: str) -> None:
        """Waits for its output to hold a text."""
        wait_for(lambda: text in self.output, what=lambda: f"{text!r} in:\n{self.output}")

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def end(self) -> int:
        """Its exit code, when it ended."""
        if self.code is None:
            self.code = int(self.zygote.say(f"wait {self.pid}"))
            assert self.fault_of_ours or "Traceback" not in self.output, self.output
        return self.code

    def slots(self) -> list[int]:
        """The processes that run trials."""
        return [pid for server in children(self.pid) for pid in children(server)]

    def left(self) -> list[int]:
        """What still lives of it."""
        processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in processes if session(pid) == self.pid]


@dataclass
class Zygote:
    """See zygote.py."""

    process: subprocess.Popen[str]
    started: list[Start] = field(default_factory=list)

    def say(self, line: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def start(
        self,
        *arguments: str,
        output: Path,
        errors: Path | None = None,
        environment: Mapping[str, str] | None = None,
        ignored: Sequence[signal.Signals] = (),
        fault_of_ours: bool = False,
    ) -> Start:
        errors = errors or output
        for file in (output, errors):
            file.touch()
        pid = int(self.say(json.dumps([arguments, dict(environment or {}), [str(output), str(errors)], [*ignored]])))
        self.started.append(Start(pid, arguments, output, self, errors, fault_of_ours))
        return self.started[-1]


@contextmanager
def zygote() -> Iterator[Zygote]:
    """One warm process for many starts."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import zygote; zygote.main()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip
    found = Zygote(process)
    try:
        yield found
    finally:
        for start in found.started:
            for pid in start.left():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], object], *, what: Callable[[], str], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what()}"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def session(pid: int) -> int | None:
    """The session of a process that is not a zombie."""
    with suppress(OSError):
        state, _, _, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
        return None if state == "Z" else int(session)
    return None
