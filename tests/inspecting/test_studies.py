"""The studies of a folder are listed, ours and others, and one of ours is deleted when it is asked for twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from tiny import Start, check, run

from search.inspecting.studies import delete_study, list_studies
from studies import StudyError
from studies.dashboard import publish
from studies.lock import LockedError
from studies.storage import opened, owned

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runs(start: Start, url: str, tmp_path: Path) -> Path:
    """A folder with two studies of ours and one of plain Optuna; the first has files, and something published."""
    for name in ("tiny", "other"):
        with start(name, trials=2, provenance={"time": "2026-01-02T03:04:05+00:00"}) as study:
            run(study)
    with opened(url) as storage:
        optuna.create_study(study_name="my plain study", storage=storage).add_trial(optuna.trial.create_trial(value=1))
    (tmp_path / "tiny" / "trials").mkdir(parents=True)
    (tmp_path / "tiny" / "trials" / "weights").write_bytes(bytes(2_500_000))
    (tmp_path / "report.md").write_text("the answer")
    publish("tiny", storage=url, runs=tmp_path, note="", files=[tmp_path / "report.md"])
    return tmp_path


def test_what_lies_there_is_listed(runs: Path, call: Call) -> None:
    found = json.loads(call("studies", "--runs", runs, "--json")[1])["studies"]
    assert [line["study"] for line in found] == ["my plain study", "other", "tiny"]
    assert [line["space"] for line in found] == [None, "tiny", "tiny"]
    assert [line["trials"] for line in found[:2]] == [
        {"foreign": 1}, {"complete": 2, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    ]  # fmt: skip
    assert found[0]["best"] is None
    assert found[2]["best"] == max(trial.accuracy or 0.0 for trial in check(f"sqlite:///{runs}/studies.db").trials)
    assert [line["disk_mb"] for line in found[:2]] == [0, 0]
    assert 2.5 <= found[2]["disk_mb"] < 2.6
    assert found[2]["started"] == "2026-01-02T03:04:05+00:00"
    drawn = call("studies", "--runs", runs)[1]
    assert all(word in drawn for word in ("my plain study", "2 complete", "1 foreign", "2.5"))


def test_a_folder_without_a_database_is_named(call: Call, tmp_path: Path) -> None:
    code, _, errors = call("studies", "--runs", tmp_path / "none")
    assert (code, "there is no database at" in errors, list(tmp_path.iterdir())) == (5, True, [])


def test_asked_once_it_shows_what_would_go(runs: Path, url: str, call: Call) -> None:
    for confirm in ([], ["--confirm", "other"]):
        code, _, errors = call("studies", "--runs", runs, "--delete", "tiny", *confirm)
        assert code == 4
        assert "its trials (2 complete), 2.5 MB in" in errors
        assert "with --confirm tiny does it" in errors
    assert check(url).finished == 2
    assert (runs / "tiny").exists()


def test_asked_twice_everything_of_it_goes_and_nothing_else(runs: Path, url: str, call: Call) -> None:
    assert [path for path in (runs / "artifacts").iterdir() if path.is_file()]
    code, output, _ = call("studies", "--runs", runs, "--delete", "tiny", "--confirm", "tiny")
    assert (code, "deleted study tiny" in output) == (0, True)
    assert [line.study for line in list_studies(runs).studies] == ["my plain study", "other"]
    assert sorted(path.name for path in runs.iterdir()) == [
        "artifacts", "report.md", "studies.db", "studies.db.other.lock",
    ]  # fmt: skip
    assert list((runs / "artifacts").iterdir()) == []
    assert check(url, name="other").finished == 2


def test_a_study_on_another_disk_goes_with_its_link(runs: Path, tmp_path: Path) -> None:
    (runs / "tiny").rename(tmp_path / "disk")
    (runs / "tiny").symlink_to(tmp_path / "disk")
    delete_study(runs, study="tiny", confirm="tiny")
    assert not (tmp_path / "disk").exists()
    assert not (runs / "tiny").is_symlink()


def test_never_while_a_search_is_at_work(runs: Path, url: str) -> None:
    with owned(url, study="tiny"), pytest.raises(LockedError, match="already works on study 'tiny'"):
        delete_study(runs, study="tiny", confirm="tiny")
    assert (runs / "tiny" / "trials" / "weights").exists()
    assert check(url).finished == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [("tinny", "did you mean 'tiny'"), ("my plain study", "a study's name is"), ("artifacts", "take another")],
)
def test_only_one_of_ours(runs: Path, name: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        delete_study(runs, study=name, confirm=name)
    assert len(list_studies(runs).studies) == 3
