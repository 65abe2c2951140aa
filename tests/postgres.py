"""A private PostgreSQL server in a folder of its own, which tests may stop, kill and start again."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from starts import children, session

ACCESS = """
local all all trust
host all tester 127.0.0.1/32 trust
host all guarded 127.0.0.1/32 scram-sha-256
"""

SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
fsync = off  # nothing here outlives a power cut; a killed server loses nothing by it
max_connections = 200
"""


def programs() -> Path | None:
    """Where the server's programs are; None where they, or a user that may run them, are missing."""
    found = [initdb.parent for initdb in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    found += [Path(initdb).parent for initdb in filter(None, [shutil.which("initdb")])]
    usable = os.geteuid() != 0 or subprocess.run(["id", "postgres"], capture_output=True).returncode == 0
    return found[0] if found and usable else None


@dataclass
class Postgres:
    """A server, running or not."""

    programs: Path
    folder: Path
    port: int
    _names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def running(self) -> bool:
        return self._call("pg_ctl", "status", "-D", self._data, check=False) == 0

    def start(self) -> None:
        """Starts it, when the last processes of a killed one have noticed."""
        command = ("pg_ctl", "start", "-w", "-D", self._data, "-l", str(self.folder / "log"))
        deadline = time.monotonic() + 20
        while self._call(*command, check=False):
            assert time.monotonic() < deadline, (self.folder / "log").read_text(errors="replace")[-2000:]
            time.sleep(0.1)

    def stop(self, mode: str = "immediate") -> None:
        """Ends it; `immediate` is what a crash of the machine looks like, `fast` tells every client."""
        self._call("pg_ctl", "stop", "-w", "-D", self._data, "-m", mode)

    def kill(self) -> None:
        """SIGKILL for every process of it."""
        lock = Path(self._data, "postmaster.pid")
        main = int(lock.read_text().splitlines()[0])
        processes = (main, *children(main))
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        while any(map(session, processes)):  # what they share would be in the next one's way
            time.sleep(0.01)
        lock.unlink()  # else they would count as running where nobody buries them

    def database(self, *, driver: str = "postgresql", password: str | None = None) -> str:
        """The URL of a new, empty database; with a password it is needed."""
        name, user = f"studies_{next(self._names)}", "guarded" if password else "tester"
        if password:
            self.say(f"ALTER ROLE guarded PASSWORD '{password}'")
        self.say(f"CREATE DATABASE {name} OWNER {user}")
        known = f"{user}:{quote(password, safe='')}" if password else user
        return f"{driver}://{known}@127.0.0.1:{self.port}/{name}"

    def say(self, statement: str) -> None:
        """Runs a statement as the server's owner."""
        where = {"host": str(self.folder), "port": self.port, "user": "postgres", "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(statement)  # type: ignore[call-overload]

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _call(self, program: str, *arguments: str, check: bool = True) -> int:
        # The server refuses to run as root.
        other = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
        with (self.folder / "calls").open("a") as output:  # a pipe would stay open as long as the server lives
            code = subprocess.run(
                [*other, str(self.programs / program), *arguments], cwd="/", stdout=output, stderr=output
            ).returncode
        assert not check or code == 0, (program, arguments, (self.folder / "calls").read_text()[-2000:])
        return code


@contextmanager
def server(programs: Path) -> Iterator[Postgres]:
    """A new server, gone without a trace afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Postgres(programs=programs, folder=folder, port=port)
    try:
        server._call("initdb", "-D", server._data, "-U", "postgres", "--auth=trust", "--no-sync", "--no-instructions")
        Path(server._data, "pg_hba.conf").write_text(ACCESS)
        Path(server._data, "postgresql.auto.conf").write_text(SETTINGS.format(port=port, folder=folder))
        server.start()
        server.say("CREATE ROLE tester LOGIN")
        server.say("CREATE ROLE guarded LOGIN")
        yield server
    finally:
        if server.running:
            server.stop()
        shutil.rmtree(folder)
