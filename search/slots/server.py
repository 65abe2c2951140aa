"""Starts slots quickly: a server imports their work once, and forks itself for each of them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path

from search.slots.process import serve
from search.slots.signals import STOPPING
from search.slots.slot_state import SlotError

PACKAGE = Path(__file__).resolve().parents[1] / "__init__.py"  # loaded by its place: a path may hold another `search`
START = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("search", sys.argv[1])
sys.modules["search"] = package = module_from_spec(spec)
spec.loader.exec_module(package)
from search.slots.server import main
sys.exit(main(sys.argv[2]))
"""
PDEATHSIG = 1  # the option PR_SET_PDEATHSIG of prctl
TICK = 0.05  # seconds between two looks of the server at its slots

_servers: dict[tuple[int, str], Server] = {}  # by the process that started it and the work: pools share it
_one_at_a_time = threading.Lock()


@dataclass(kw_only=True)
class SlotProcess:
    """The process of a slot. It is a child of the server, which tells its exit code."""

    pid: int
    status: Connection
    exitcode: int | None = None  # negative for a signal; None while it lives

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        if self.exitcode is None and self.status.poll(timeout):
            try:
                self.exitcode = self.status.recv()
            except EOFError:  # the server is dead, and took it along
                self.exitcode = -signal.SIGKILL
            self.status.close()

    def kill(self) -> None:
        self.join(0)
        if self.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def start_slot(work: str, *, log: Path, first: object) -> tuple[Connection, SlotProcess]:
    """A new slot, and the connection to it, through which it was sent what it needs first. Raises SlotError."""
    key = os.getpid(), work  # a fork of this process has no server yet
    with _one_at_a_time:
        if key in _servers:
            with suppress(OSError, EOFError):  # it was killed, and so were its slots
                return _servers[key].fork(first)
            _servers.pop(key).close()
        try:
            server = Server(work, log=log)
        except OSError as error:
            raise SlotError(f"no slot can be started: {error}") from None
        try:
            slot = server.fork(first)
        except (OSError, EOFError) as error:
            raise SlotError(f"no slot can be started: {server.close() or error or 'killed'}; see {log}") from None
        _servers[key] = server
        return slot


class Server:
    """A process that imports nothing of the user's: neither the current folder, nor the script, nor what it added."""

    def __init__(self, work: str, *, log: Path) -> None:
        """Raises OSError."""
        self.log = log
        path = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if Path(part).is_absolute()]
        environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path)}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self.said = file.tell()
            self.control, theirs = Pipe()
            actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
            actions += [(os.POSIX_SPAWN_DUP2, file.fileno(), output) for output in (1, 2)]
            command = [sys.executable, "-c", START, str(PACKAGE), work]
            with theirs:  # the server keeps these signals blocked, a slot lifts them when it is ready
                self.pid = os.posix_spawn(
                    sys.executable, command, environment, file_actions=actions, setsigmask=STOPPING
                )

    def fork(self, first: object) -> tuple[Connection, SlotProcess]:
        """A slot. Raises OSError or EOFError where the server is dead."""
        pipe, its_pipe = Pipe()
        status, its_status = Pipe(duplex=False)
        with its_pipe, its_status:  # closed here, so that the death of the slot is an end of file
            for connection in (its_pipe, its_status):
                send_handle(self.control, connection.fileno(), self.pid)
        process = SlotProcess(pid=status.recv(), status=status)
        pipe.send(first)
        return pipe, process

    def close(self) -> str:
        """End it; returns the last line that it said, if any."""
        self.control.close()
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        with suppress(OSError), self.log.open("rb") as file:
            file.seek(self.said)
            return file.read().decode(errors="replace").strip().rpartition("\n")[2]
        return ""


def main(work: str) -> int:
    """The life of a server: fork a slot for each request until the supervisor ends. It starts no thread."""
    supervisor, control = os.getppid(), Connection(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import_module(work.partition(":")[0])
    statuses: dict[int, Connection] = {}  # by process
    while os.getppid() == supervisor:  # a fork of the supervisor may keep the connection open
        for pid in tuple(statuses):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with suppress(OSError), statuses.pop(pid) as its_status:  # nobody may be left to hear it
                    its_status.send(os.waitstatus_to_exitcode(status))
        if not control.poll(TICK):
            continue
        try:
            pipe, its_status = Connection(recv_handle(control)), Connection(recv_handle(control))
        except EOFError:
            break
        pid = os.fork()
        if not pid:
            for inherited in (control, its_status, *statuses.values()):
                inherited.close()
            if sys.platform == "linux":  # a slot ends with the server also where it hangs, else where the pipe ends
                ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
            return serve(pipe)
        pipe.close()
        its_status.send(pid)
        statuses[pid] = its_status
    return 0
