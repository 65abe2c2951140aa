"""The processes of slots: a server imports their work once and forks itself; each fork runs the jobs that come."""

from __future__ import annotations

import ctypes
import faulthandler
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
from pkgutil import resolve_name

from search.slots.job import Command, Job, MakeRun, Paused
from search.slots.signals import STOPPING, StopFlag, stop_flag
from search.slots.slot_state import SlotError
from search.training.result import EpochResult

ROOT = Path(__file__).resolve().parents[2]
# The package comes from there, also where a path leads to another; what it imports comes from the usual places.
START = """
import pkgutil, sys, typing
sys.path.insert(0, sys.argv[1]); import search; del sys.path[0]
from search.slots.server import main; sys.exit(main(sys.argv[2]))
"""
LOSABLE = "1000"  # the most: where memory runs out, the kernel ends a slot and not its supervisor
STACKS = signal.SIGQUIT  # at which a slot writes the stacks of its threads into its log
PDEATHSIG = 1  # the option PR_SET_PDEATHSIG of prctl
TICK = 0.05  # seconds between two looks of the server at its slots

_servers: dict[str, Server] = {}  # by the work; all pools share it
_one_at_a_time = threading.Lock()
os.register_at_fork(after_in_child=_servers.clear)  # which also ends a child's part in the connection


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
        self.join(0)  # or its number may be another's
        with suppress(ProcessLookupError):
            if self.exitcode is None:
                os.kill(self.pid, signal.SIGKILL)


def start_slot(work: str, *, log: Path, first: object) -> tuple[Connection, SlotProcess]:
    """A new slot, and the connection to it, through which it was sent what it needs first. Raises SlotError."""
    with _one_at_a_time:
        if work in _servers:
            with suppress(OSError, EOFError):  # it was killed, and so were its slots
                return _servers[work].fork(first)
            _servers.pop(work).close()
        try:
            server = Server(work, log=log)
        except OSError as error:
            raise SlotError(f"no slot can be started: {error}") from None
        try:
            slot = server.fork(first)
        except (OSError, EOFError):
            server.close()
            said = log.read_bytes()[server.logged :].decode(errors="replace").strip().rpartition("\n")[2]
            raise SlotError(f"no slot can be started: {said or 'their server was killed'}; see {log}") from None
        _servers[work] = server
        return slot


class Server:
    """A process that imports nothing of the user's: neither the current folder, nor the script, nor what it added."""

    def __init__(self, work: str, *, log: Path) -> None:
        """Raises OSError."""
        path = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if Path(part).is_absolute()]
        environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path)}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self.logged, (self.control, theirs) = file.tell(), Pipe()
            actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
            actions += [(os.POSIX_SPAWN_DUP2, file.fileno(), output) for output in (1, 2)]
            command = [sys.executable, "-c", START, str(ROOT), work]
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

    def close(self) -> None:
        self.control.close()
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def main(work: str) -> int:
    """The life of a server: fork a slot for each request until the supervisor ends. It starts no thread."""
    control = Connection(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import_module(work.partition(":")[0])
    statuses: dict[int, Connection] = {}  # by process
    while True:
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
            return 0
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


def serve(pipe: Connection) -> int:
    """Run jobs and send their events until a signal comes or the supervisor ends; returns the exit code."""
    settings, work, log, folder = pipe.recv()
    os.chdir(folder)  # the paths of a job may be relative
    with suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text(LOSABLE, encoding="utf-8")
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.register(STACKS, all_threads=True)
    with stop_flag() as flag:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        make_run: MakeRun = resolve_name(work)
        run = make_run(settings)
        pipe.send(None)  # ready
        commands = Commands(pipe, flag)
        with suppress(EOFError, BrokenPipeError):  # the supervisor ended
            while job := commands.next_job():
                for event in run(job, commands.should_pause):
                    pipe.send(Paused(signal=flag.signal) if isinstance(event, Paused) else event)
                    if isinstance(event, EpochResult) and not commands.wait_for_answer():
                        break
        return 0 if flag.signal is None else 128 + flag.signal


@dataclass
class Commands:
    """What the supervisor sends through the pipe."""

    pipe: Connection
    flag: StopFlag
    _pause: bool = False  # the supervisor asked for it

    def next_job(self) -> Job | None:
        """The next job; None if a signal came."""
        self._pause = False
        while self.pipe.poll(0.5) or self.flag.signal is None:
            # A command was for the previous job, which had just ended.
            if self.pipe.poll() and isinstance(job := self.pipe.recv(), Job):
                return job
        return None

    def wait_for_answer(self) -> bool:
        """Whether the training continues after an EpochResult."""
        command: Command = self.pipe.recv()
        self._pause = command == "pause"
        return command != "stop"

    def should_pause(self) -> bool:
        self._pause = self._pause or (self.pipe.poll() and self.pipe.recv() == "pause")  # a poll takes 5 microseconds
        return self._pause or self.flag.signal is not None
