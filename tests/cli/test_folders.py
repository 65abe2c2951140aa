"""Folders of runs that may not be written, hold something else, or have odd names: one sentence, or it works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna_dashboard
import pytest
from disks import permissions_count, read_only
from optuna.storages import RDBStorage
from tiny import database

from search import cli
from search.planning.catalogue import load
from search.searching.study_folder import StudyFolder
from studies.dashboard import serve

ASSETS = Path(cli.__file__).parents[2] / "tests" / "assets"
SPACES = Path(cli.__file__).parents[2] / "spaces"
RUN = ("run", "--space", "smoke", "--data", "synthetic", "--device", "cpu", "--slots", "1", "--trials", "1")

Call = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("images")


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A folder with a study of five trials that nobody may write."""
    runs = tmp_path / "runs"
    (runs / "smoke").mkdir(parents=True)
    shutil.copy(ASSETS / "format-1.db", runs / "studies.db")
    with read_only(runs):
        yield runs


@pytest.mark.fault("a folder of runs that may be read and not written", then="what reads works, what writes is exit 5")
@pytest.mark.parametrize("command", ["status", "best", "explain", "studies", "spaces advise --output FILE"])
def test_what_reads_needs_no_right_to_write(call: Call, runs: Path, command: str) -> None:
    code, output, errors = call(*command.replace("FILE", str(runs.parent / "next.yaml")).split(), "--runs", runs)
    assert (code, errors) == (0, "")
    assert "71.50" in output or command.startswith(("explain", "spaces"))


WRITING = [RUN, ("doctor", "--fix"), ("studies", "--delete", "smoke", "--confirm", "smoke"), ("spaces", "advise")]


@pytest.mark.parametrize("command", WRITING, ids=lambda command: command[0])
def test_what_writes_names_the_path_and_the_way_out(call: Call, runs: Path, command: tuple[str, ...]) -> None:
    code, _, errors = call(*command, "--runs", runs, *(["--study", "new"] if command is RUN else []))
    assert code == 5
    assert "Read-only file system" in errors
    assert str(runs) in errors
    assert ("--output" if command[0] == "spaces" else "--runs") in errors


def test_the_dashboard_serves_what_it_may_not_change(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def run_server(storage: RDBStorage, *, artifact_store: Any, **_: object) -> None:
        app = optuna_dashboard.wsgi(storage, artifact_store=artifact_store)
        for path in ("/api/studies", "/api/studies/1"):
            asked = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "after=0"}
            said.append(b"".join(app(asked, lambda status, *_: said.append(status))).decode())

    monkeypatch.setattr(optuna_dashboard, "run_server", run_server)
    serve(storage=f"sqlite:///{runs}/studies.db", runs=runs, port=0, announce=lambda text: said.append(str(text)))
    _, warning, listed, studies, shown, study = said
    assert "is read-only here" in warning
    assert (listed, shown) == ("200 OK", "200 OK")
    assert '"study_name": "smoke"' in studies
    assert '"Complete"' in study
    assert sorted(path.name for path in runs.iterdir()) == ["smoke", "studies.db"]


def a_file(folder: Path) -> Path:
    folder.write_text("notes")
    return folder


def inside_a_file(folder: Path) -> Path:
    return a_file(folder) / "runs"


def under_a_locked_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o555)
    return folder / "runs"


def an_unreadable_lock(folder: Path) -> Path:
    folder.mkdir()
    database(folder)
    (folder / "studies.db.smoke.lock").touch(mode=0)
    return folder


def a_link_for_a_lock(folder: Path) -> Path:
    folder.mkdir()
    (folder / "studies.db.smoke.lock").symlink_to("elsewhere")
    return folder


def a_file_for_a_study(folder: Path) -> Path:
    folder.mkdir()
    return a_file(folder / "smoke").parent


def too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


PLACES = [
    a_file,
    inside_a_file,
    under_a_locked_folder,
    an_unreadable_lock,
    a_link_for_a_lock,
    a_file_for_a_study,
    too_long,
]


@pytest.mark.fault("--runs names a file, or its lock cannot be opened", then="exit 5 with the path and --runs")
@pytest.mark.parametrize("place", PLACES)
def test_a_folder_of_runs_that_cannot_be_one(call: Call, tmp_path: Path, place: Callable[[Path], Path]) -> None:
    runs = place(tmp_path / "place")
    with permissions_count():
        code, output, errors = call(*RUN, "--runs", runs)
    assert (code, output) == (5, ""), errors
    assert errors.startswith("cifar-search: ")
    assert str(tmp_path) in errors
    assert "--runs" in errors


def test_reading_where_runs_is_a_file_says_so(call: Call, tmp_path: Path) -> None:
    code, _, errors = call("status", "--runs", a_file(tmp_path / "file"))
    assert code == 5
    assert "file is a file, where a folder is wanted: name another with --runs" in errors


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--study", "studies.db"], 4, "take another with --study"),
        (["--study", "Artifacts"], 4, "take another with --study"),
        (["--study", "studies.db.smoke.lock"], 4, "take another with --study"),
        (["--storage", "sqlite://runs/studies.db"], 5, "--storage sqlite:///runs/studies.db"),
        (["--storage", "sqlite:///new/studies.db", "--images", "3"], 2, "--images"),
        (["--storage", "nosuch://x/y"], 5, "is not known"),
        (["--carry-over", "nothing"], 5, "there is no database at"),
        (["--images", "3"], 2, "--images"),
    ],
)
def test_nothing_is_made_before_everything_is_checked(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, errors = call(*RUN, *options)
    assert (found, list(tmp_path.iterdir())) == (code, [])
    assert said in errors


@pytest.mark.parametrize(
    ("name", "proper"), [("my space (2).yml", "my-space-2-study"), ("artifacts.yaml", "artifacts-study")]
)
def test_a_name_from_a_space_file_says_so_and_another_is_offered(
    call: Call, tmp_path: Path, name: str, proper: str
) -> None:
    shutil.copy(SPACES / "smoke.yaml", tmp_path / name)
    code, _, errors = call(*RUN, "--space", tmp_path / name, "--runs", tmp_path / "runs")
    assert code == 4
    assert f"the study would be named after its space, {tmp_path / name}" in errors
    assert f"--study {proper}\n" in errors
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", [b"what?", b"50%20off", b"a#b", b"caf\xe9", b"file:", b"sqlite:x", b"a b\nc"])
def test_an_odd_folder_is_read_as_it_is_called(call: Call, tmp_path: Path, name: bytes) -> None:
    runs = tmp_path / os.fsdecode(name)
    runs.mkdir()
    shutil.copy(ASSETS / "format-1.db", runs / "studies.db")
    code, output, _ = call("studies", "--json", "--runs", runs)
    assert (code, '"study": "smoke"' in output) == (0, True)
    assert list(tmp_path.iterdir()) == [runs]


def test_a_home_is_one_also_where_the_shell_leaves_it_alone(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    home.mkdir()
    shutil.copy(SPACES / "smoke.yaml", home)
    for words in (["--runs=~/x"], ["--runs", "~/x"], ["--storage", "sqlite:///~/x/studies.db"]):
        assert f"no database at {home}/x/studies.db; " in call("status", *words)[2]
    monkeypatch.setenv("CIFAR_SEARCH_STORAGE", "sqlite:///~/other.db")
    assert f"no database at {home}/other.db; " in call("status")[2]
    assert call("spaces", "show", "~/smoke.yaml")[0] == 0
    assert load("~/smoke.yaml").parameters == load("smoke").parameters
    assert StudyFolder(Path("~/x"), "s").path == tmp_path / "home" / "x" / "s"
    assert not (tmp_path / "~").exists()


@pytest.mark.fault("--runs is a link to a disk that is not mounted", then="exit 5 with the link and its target")
def test_a_link_that_leads_nowhere_is_told_as_one(call: Call, tmp_path: Path) -> None:
    link = tmp_path / "runs"
    link.symlink_to(tmp_path / "unmounted")
    said = f"{link} points to {tmp_path}/unmounted, which is not there (not mounted?)"
    for command in (RUN, ("status",), ("doctor",)):
        code, output, errors = call(*command, "--runs", link)
        assert (code, output, said in errors) == (5, "", True), errors
    link.unlink()
    link.mkdir()
    (link / "smoke").symlink_to(tmp_path / "unmounted")
    code, _, errors = call(*RUN, "--runs", link)
    assert code == 5
    assert f"{link}/smoke points to {tmp_path}/unmounted, which is not there" in errors
