"""The dashboard on a real port: the studies with their notes and pictures, for this machine alone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import optuna_dashboard
import pytest
from starts import wait_for
from tiny import ask, finish, starter

from studies.dashboard import publish, serve
from studies.storage import StorageError

PROGRAM = Path(sys.executable).with_name("cifar-search")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f6"
    "45400000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished study that has a note, a picture and a report."""
    folder = tmp_path_factory.mktemp("runs")
    url = f"sqlite:///{folder}/studies.db"
    (folder / "losses.png").write_bytes(PIXEL)
    (folder / "report.md").write_text("# The answer\n")
    with starter(url)(trials=1) as study:
        finish(study, ask(study), accuracy=0.75, parameters=1234)
        study.show_best(study.history().trials[0])
        files = [folder / "losses.png", folder / "report.md"]
        publish("tiny", storage=url, runs=folder, note="**Best: trial 0**", files=files)
    return folder


@pytest.fixture(scope="module")
def port(runs: Path) -> Iterator[int]:
    """The port of a running dashboard, which Ctrl-C ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [str(PROGRAM), "dashboard", "--runs", str(runs), "--port", str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, start_new_session=True, **pipes)  # type: ignore[call-overload]
    try:
        wait_for(lambda: process.poll() is not None or answers("127.0.0.1", port), what=lambda: "the dashboard")
        yield port
        os.kill(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        assert f"http://127.0.0.1:{port}" in output
        assert "Traceback" not in errors, errors
        assert process.returncode in (0, 130), errors
    finally:
        process.kill()
        process.communicate()


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def get(port: int, path: str) -> bytes:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return bytes(answer.read())


def study(port: int) -> Any:
    """All that the dashboard shows of the only study."""
    (summary,) = json.loads(get(port, "/api/studies"))["study_summaries"]
    assert summary["study_name"] == "tiny"
    return json.loads(get(port, f"/api/studies/{summary['study_id']}?after=0"))


def test_the_study_is_shown_with_its_trials(port: int) -> None:
    (trial,) = study(port)["trials"]
    assert trial["state"] == "Complete"
    assert [entry["value"] for entry in trial["intermediate_values"]] == [0.75] * 3
    assert {"key": "parameters", "value": "1234"} in trial["user_attrs"]


def test_the_note_shows_the_picture_and_links_the_report(port: int) -> None:
    body = study(port)["note"]["body"]
    assert body.startswith("**Best: trial 0**")
    (picture,) = re.findall(r"!\[losses\]\((/artifacts/[^)]+)\)", body)
    (report,) = re.findall(r"[^!]\[report\.md\]\((/artifacts/[^)]+)\)", body)
    assert get(port, picture) == PIXEL
    assert get(port, report) == b"# The answer\n"


def test_no_other_address_of_this_machine_answers(port: int) -> None:
    elsewhere = {address[4][0] for address in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    assert answers("127.0.0.1", port)
    assert [host for host in sorted({"127.0.0.2", *elsewhere} - {"127.0.0.1"}) if answers(str(host), port)] == []


def test_a_second_note_takes_the_place_of_the_first(port: int, runs: Path) -> None:
    publish("tiny", storage=f"sqlite:///{runs}/studies.db", runs=runs, note="shorter", files=[])
    assert study(port)["note"]["body"] == "shorter"


def test_of_port_0_the_one_that_it_got_is_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[int] = []
    said: list[str] = []
    monkeypatch.setattr(optuna_dashboard, "run_server", lambda *_, port, **__: served.append(port))

    serve(storage=f"sqlite:///{runs}/studies.db", runs=runs, port=0, announce=said.append)

    assert said == [f"http://127.0.0.1:{served[0]}  (Ctrl-C ends it)"]
    assert served[0] > 0


def test_without_a_database_there_is_no_dashboard_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no database"):
        serve(storage=f"sqlite:///{tmp_path}/studies.db", runs=tmp_path, port=1, announce=print)
    assert list(tmp_path.iterdir()) == []
