"""A download ends by itself, whatever the server does, and leaves nothing behind that is half there."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from torchvision.datasets import CIFAR10

from search.data import download
from search.data.download import ARCHIVE, FOLDER, complete
from search.errors import DataError

Answer = Callable[[Any], object]
Serve = Callable[[Answer], None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Makes the download come from a server that answers as it is told, and is silent then."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    over, answers = threading.Event(), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers[0](self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{ARCHIVE}")
        Handler.over = over  # type: ignore[attr-defined]
        yield answers.append
        over.set()
        server.shutdown()


def fall_silent(handler: Any) -> None:
    handler.over.wait()


def break_off(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)


def stall(handler: Any) -> None:
    break_off(handler)
    fall_silent(handler)


@pytest.mark.fault(
    "a server of the data that falls silent or breaks off", then="exit 3 within a minute; nothing is left"
)
@pytest.mark.parametrize(
    ("answer", "reason"), [(fall_silent, "timed out"), (stall, "timed out"), (break_off, "corrupted")]
)
@pytest.mark.timeout(20)
def test_a_server_that_falls_silent_or_breaks_off_is_given_up(
    tmp_path: Path, serve: Serve, answer: Answer, reason: str
) -> None:
    serve(answer)
    with pytest.raises(DataError, match=rf"failed \(.*{reason}.*\); fetch .* by hand"):
        complete(tmp_path, tmp_path / FOLDER, ["test_batch"], problem="no data", download=True)
    assert list(tmp_path.iterdir()) == []
    assert socket.getdefaulttimeout() is None


@pytest.mark.fault("a signal during the download of the data", then="exit 128 + n; nothing is left")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.timeout(20)
def test_a_signal_in_a_download_leaves_nothing_behind(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    requests: list[Any] = []

    def interrupt(handler: Any) -> None:
        requests.append(handler)
        break_off(handler)
        if len(requests) == 2:  # the first one asks only whether the file moved
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            fall_silent(handler)

    monkeypatch.setattr(download, "PATIENCE", 10.0)
    serve(interrupt)
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    of_the_tests = signal.signal(number, usual)
    try:
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as ended:
            complete(tmp_path, tmp_path / FOLDER, ["test_batch"], problem="no data", download=True)
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, of_the_tests)
    assert ended.type is KeyboardInterrupt or ended.value.args == (128 + number,)
    assert list(tmp_path.iterdir()) == []


def test_what_nohup_ignores_stays_ignored(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang_up(handler: Any) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)
        break_off(handler)

    monkeypatch.setattr(download, "PATIENCE", 10.0)
    serve(hang_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(DataError, match="corrupted"):
            complete(tmp_path, tmp_path / FOLDER, ["test_batch"], problem="no data", download=True)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.fault("kill -9 during the download of the data", then="the next start removes what is left of it")
def test_what_a_killed_start_left_goes_with_the_next_unless_another_is_at_work(tmp_path: Path, serve: Serve) -> None:
    left = tmp_path / ".unpacking-dead"
    left.mkdir()
    (left / "data_batch_1").write_bytes(b"half")
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)  # as another start holds it
    serve(break_off)
    for at_work in (True, False):
        with pytest.raises(DataError):
            complete(tmp_path, tmp_path / FOLDER, ["test_batch"], problem="no data", download=True)
        assert [path.name for path in tmp_path.iterdir()] == [left.name] * at_work
        if at_work:
            os.close(other)
