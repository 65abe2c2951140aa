"""A study whose records or files were tampered with is found out, and what can be repaired is repaired."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tiny import MANIFEST, ROOT, ask, finish, starter, suggest

from search.console.tables import diagnosis_text
from search.data.split import Split
from search.inspecting.doctor import Diagnosis, examine_study, fix
from search.searching.study_folder import StudyFolder, sweep
from studies import StudyError
from studies.history import History, read_history
from studies.lock import LockedError
from studies.storage import StorageError, owned, storage_url

COUNTS = {"complete": 2, "pruned": 1, "failed": 1, "running": 0, "waiting": 1}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with a study that has every kind of trial, as a search that was stopped leaves it."""
    folder = StudyFolder(tmp_path_factory.mktemp("sound"), "tiny")
    folder.path.mkdir()
    split = Split(np.arange(90), np.arange(90, 100), seed=0)
    split.save(folder.split)
    manifest = replace(MANIFEST, split_fingerprint=split.fingerprint)
    with starter(storage_url(folder.runs, None))(trials=5, manifest=manifest) as study:
        for number in (0, 1):
            checkpoint = folder.checkpoints(number).finish(f"weights {number}".encode())
            finish(study, ask(study), checkpoint=checkpoint)
        for number in (2, 3, 4):
            ask(study)
            study.report(number, epoch=1, accuracy=0.1)
        study.prune(2)
        study.fail(3, outcome="diverged", message="nan")
        study.put_back(4)
        folder.checkpoints(4).save(7, b"a state")
    (folder.runs / "studies.db.tiny.lock").write_text("1\n")  # its process is gone
    folder.log.touch()
    return folder.runs


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> StudyFolder:
    """The folder of a copy of that study."""
    shutil.copytree(sound, tmp_path / "runs")
    return StudyFolder(tmp_path / "runs", "tiny")


def examine(folder: StudyFolder) -> Diagnosis:
    return examine_study(folder.runs)


def history(folder: StudyFolder) -> History:
    return read_history("tiny", storage=storage_url(folder.runs, None))


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def change(folder: StudyFolder, statement: str, *values: str) -> None:
    with sqlite3.connect(folder.runs / "studies.db") as database:
        assert database.execute(statement, values).rowcount == 1
    database.close()


def running(folder: StudyFolder) -> None:
    change(folder, "UPDATE trials SET state = 'RUNNING' WHERE number = 4")


def without_hash(folder: StudyFolder) -> None:
    change(folder, "DELETE FROM trial_user_attributes WHERE key = 'checkpoint' AND trial_id = 1")


def measured_twice(folder: StudyFolder) -> None:
    curve = json.dumps([{"epoch": 1}, {"epoch": 1}])
    change(folder, "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'curve' AND trial_id = 3", curve)


def asked_for_two(folder: StudyFolder) -> None:
    for key, value in (("planned", "2"), ("start_0001", json.dumps({"trials": "2"}))):
        change(folder, "UPDATE study_user_attributes SET value_json = ? WHERE key = ?", value, key)


def other_split(folder: StudyFolder) -> None:
    Split(np.arange(10, 100), np.arange(10), seed=0).save(folder.split)


def flip_a_bit(folder: StudyFolder) -> None:
    path = folder.checkpoints(0).folder / "final.ckpt"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def left(name: str) -> Callable[[StudyFolder], None]:
    """A file in the study's folder."""
    return lambda folder: write(folder.path / name)


Tamper = Callable[[StudyFolder], object]

# What is done to a study, and a part of the message that names it: what can be repaired, then what cannot.
FIXABLE: dict[str, tuple[Tamper, str]] = {
    "a running trial of a dead search": (running, "trial 4 is running"),
    "a checkpoint of a pruned trial": (lambda f: f.checkpoints(2).save(3, b""), "trial 2, which is pruned"),
    "final weights of a failed trial": (lambda f: f.checkpoints(3).finish(b"x"), "trial 3, which is failed"),
    "weights of an unknown trial": (lambda f: f.checkpoints(99).save(3, b"x"), "trial 99, which is unknown"),
    "an empty folder of checkpoints": (lambda f: f.checkpoints(123456).folder.mkdir(), "123456, which is unknown"),
    "a passing checkpoint of a complete trial": (left("trials/00000/step-00000007.ckpt"), "7.ckpt is left over"),
    "half a checkpoint of a complete trial": (left("trials/00000/final.ckpt.1.part"), "final.ckpt.1.part is left over"),
    "half a checkpoint of a waiting trial": (left("trials/00004/step-00000007.ckpt.1.part"), "7.ckpt.1.part is left"),
    "half a split": (left("split.npz.1.part"), "split.npz.1.part is left over"),
    "half of the final weights": (left("retraining/weights-1.safetensors.1.part"), "safetensors.1.part is left over"),
    "half a report": (left("report/.unfinished-abc/report.md"), ".unfinished-abc is left over"),
}
BROKEN: dict[str, tuple[Tamper, str]] = {
    "a complete trial without its checkpoint's hash": (without_hash, "trial 0 has none"),
    "an epoch that is measured twice": (measured_twice, "measured [1, 1]"),
    "more trials than were asked for": (asked_for_two, "no start asked for more than 2"),
    "no split": (lambda f: f.split.unlink(), "split.npz is missing; restore it"),
    "a split that is none": (lambda f: f.split.write_text("text"), "is not a saved split"),
    "another split": (other_split, "is not the study's split"),
    "lost weights": (lambda f: f.checkpoints(0).clear(), "`cifar-search reproduce 0 --study tiny --keep` trains them"),
    "damaged weights": (flip_a_bit, "its result stands, its weights are lost"),
    "other whole weights": (lambda f: f.checkpoints(0).finish(b"other weights"), "another than SHA-256"),
}


def test_the_ledger_of_a_sound_study_is_true(folder: StudyFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    ledger = examine(folder)
    assert (ledger.findings, ledger.notes) == ((), ())
    assert (ledger.study, ledger.planned, ledger.counts) == ("tiny", 5, COUNTS)
    assert fix(folder.runs) == ()
    after = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    assert after == before
    assert folder.checkpoints(4).newest(bytes)[0] == b"a state"  # what the waiting trial goes on from


@pytest.mark.parametrize("what", FIXABLE | BROKEN)
def test_what_was_tampered_with_is_found_and_repaired_or_named(folder: StudyFolder, what: str) -> None:
    tamper, said = (FIXABLE | BROKEN)[what]
    tamper(folder)
    (finding,) = examine(folder).findings
    assert said in finding.message
    assert finding.fixable is (what in FIXABLE)
    assert len(fix(folder.runs)) == finding.fixable
    assert examine(folder).findings == (() if finding.fixable else (finding,))
    assert history(folder).counts == COUNTS


def test_all_is_repaired_at_once(folder: StudyFolder) -> None:
    for tamper, _ in FIXABLE.values():
        tamper(folder)
    assert len(examine(folder).findings) == len(FIXABLE)
    assert len(fix(folder.runs)) == len(FIXABLE)
    assert examine(folder).findings == ()


def test_what_is_not_ours_stays(folder: StudyFolder) -> None:
    names = ("trials/notes/step-1.ckpt", "trials/00002/mine.txt", "a.txt")
    for name in (*names, "trials/00002/step-00000001.ckpt"):
        write(folder.path / name)
    assert len(fix(folder.runs)) == 1
    assert all((folder.path / name).exists() for name in names)
    assert examine(folder).findings == ()


def test_a_search_at_work_is_left_alone(folder: StudyFolder) -> None:
    running(folder)
    parts = [folder.path / "trials" / "00004" / "step-00000008.ckpt.1.part", folder.path / "split.npz.1.part"]
    for part in parts:
        write(part)
    with owned(storage_url(folder.runs, None), study="tiny"):
        ledger = examine(folder)
        with pytest.raises(LockedError, match=f"process {os.getpid()} already works on study 'tiny'"):
            fix(folder.runs)
    assert ledger.findings == ()
    assert ledger.notes == ("a search is at work: what is left over was not looked for",)
    assert all(part.exists() for part in parts)
    assert len(examine(folder).findings) == 3


def test_a_study_without_files_here_is_checked_by_its_records(folder: StudyFolder) -> None:
    shutil.rmtree(folder.path)
    ledger = examine(folder)
    assert ledger.findings == ()
    assert ledger.notes == (f"nothing of the study lies in {folder.path}: its files were not checked",)
    assert fix(folder.runs) == ()
    assert not folder.path.exists()


def test_what_cannot_be_removed_stays_a_finding(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no")

    write(folder.path / "split.npz.1.part")
    monkeypatch.setattr(Path, "unlink", refuse)
    assert fix(folder.runs) == ()
    assert len(examine(folder).findings) == 1


def test_a_start_sweeps_what_nobody_needs(folder: StudyFolder) -> None:
    for number in (2, 99):
        folder.checkpoints(number).save(1, b"x")
    write(folder.path / "split.npz.1.part")
    names = ("split.npz.1.part", "trials/00002", "trials/00099")
    assert sweep(folder, history(folder)) == tuple(f"removed {folder.path}/{name}" for name in names)
    assert examine(folder).findings == ()
    assert sweep(folder, history(folder)) == sweep(StudyFolder(folder.runs, "nowhere"), history(folder)) == ()


def test_the_study_is_named_or_the_last_one(folder: StudyFolder) -> None:
    with starter(storage_url(folder.runs, None))("later", provenance={"time": "2030"}) as study:
        study.ask(suggest)
    assert examine(folder).study == "later"
    assert examine_study(folder.runs, study="tiny").study == "tiny"
    with pytest.raises(StudyError, match="there is no study 'tinny'; did you mean 'tiny'"):
        examine_study(folder.runs, study="tinny")


def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    for attempt in (examine_study, fix):
        with pytest.raises(StorageError, match="there is no database"):
            attempt(tmp_path, study="tiny")
    assert list(tmp_path.iterdir()) == []


def test_the_ledger_is_drawn_line_by_line_and_as_json(folder: StudyFolder) -> None:
    folder.checkpoints(2).save(1, b"x")
    folder.checkpoints(0).clear()
    ledger, drawn = examine(folder), io.StringIO()
    Console(width=60, file=drawn).print(diagnosis_text(ledger, done=["removed x"]), soft_wrap=True)
    first, orphan, lost, last = drawn.getvalue().splitlines()
    assert first == "repaired: removed x"
    assert f"{folder.path}/trials/00002 is left of trial 2, which is pruned" in orphan
    assert "reproduce 0 --study tiny --keep" in lost
    assert "2 problems found; `cifar-search doctor --study tiny --fix` repairs 1 of them" in last
    found = json.loads(json.dumps(ledger.as_json()))
    assert (found["true"], found["study"], found["planned"], found["counts"]["complete"]) == (False, "tiny", 5, 2)
    assert [finding["trial"] for finding in found["findings"]] == [2, 0]


def test_the_exit_code_says_whether_it_is_true(folder: StudyFolder, call: Callable[..., tuple[int, str, str]]) -> None:
    place = ("--runs", folder.runs)
    assert call("doctor", *place)[0] == 0
    folder.checkpoints(2).save(1, b"x")
    code, said, _ = call("doctor", *place, "--json")
    assert (code, json.loads(said)["true"], json.loads(said)["done"]) == (4, False, [])
    code, said, _ = call("doctor", *place, "--fix")
    assert (code, "repaired: removed " in said, "no problems found" in said) == (0, True, True)
    with owned(storage_url(folder.runs, None), study="tiny"):
        assert call("doctor", *place, "--fix")[0] == 4
    folder.split.unlink()
    assert call("doctor", *place, "--fix")[0] == 4


def test_torch_is_not_needed_to_look(folder: StudyFolder) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from search.inspecting.doctor import examine_study\n"
        "assert examine_study(Path(sys.argv[1])).findings == ()\n"
        "print({'torch'} & {*sys.modules})\n"
    )
    command = [sys.executable, "-c", code, folder.runs]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"
