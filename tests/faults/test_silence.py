"""A server behind a line that swallows everything is given up in time, and reached again when the line is mended."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from postgres import Postgres
from tiny import ask, check, finish, run, starter

from studies import engine
from studies.storage import UnreachableError

pytestmark = pytest.mark.postgres


@dataclass
class Proxy:
    """Passes bytes between clients and a server, or takes them and passes nothing on."""

    port: int  # of the server
    swallows: bool = False
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    ends: list[socket.socket] = field(default_factory=list)
    lines: list[threading.Thread] = field(default_factory=list)  # each closes its own two ends, nobody else does

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed: the test is over
            server = socket.create_connection(("127.0.0.1", self.port))
            self.ends += [client, server]
            line = threading.Thread(target=self.pass_on, args=(client, server), daemon=True)
            self.lines.append(line)
            line.start()

    def pass_on(self, one: socket.socket, other: socket.socket) -> None:
        while True:
            for end in select.select([one, other], [], [])[0]:
                try:
                    data = end.recv(65536)
                    if not data:
                        raise OSError("the end")
                    if not self.swallows:
                        (other if end is one else one).sendall(data)
                except OSError:
                    one.close(), other.close()
                    return


@contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    between = Proxy(port)
    threading.Thread(target=between.serve, daemon=True).start()
    try:
        yield between
    finally:
        between.listener.shutdown(socket.SHUT_RDWR)
        between.listener.close()
        for end in between.ends:
            with suppress(OSError):  # closed by its line already
                end.shutdown(socket.SHUT_RDWR)
        for line in between.lines:
            line.join(timeout=10)


@pytest.mark.fault("a line that swallows every question", then="given up within a minute, then as any outage")
@pytest.mark.parametrize("driver", ["postgresql+psycopg", pytest.param("postgresql+psycopg2", marks=pytest.mark.slow)])
def test_a_line_that_swallows_everything(postgres: Postgres, monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    monkeypatch.setattr(engine, "SILENCE", 1.0)
    monkeypatch.setattr(engine, "CONNECT", 2)  # the least that libpq knows
    with proxy(postgres.port) as between:
        url = postgres.database(driver=driver).replace(str(postgres.port), str(between.listener.getsockname()[1]))
        with starter(url)(trials=3) as study:
            asked = ask(study)
            between.swallows = True
            began = time.monotonic()
            with pytest.raises(UnreachableError):
                study.report(asked.number, epoch=1, accuracy=0.5)
            assert time.monotonic() - began < 8
            between.swallows = False
            finish(study, asked)
            run(study)
        assert check(url).finished == 3
