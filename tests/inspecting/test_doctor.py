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
from tiny import MANIFEST, ask, starter, suggest

from search import cli
from search.console.tables import diagnosis_text
from search.data.split import Split
from search.inspecting.doctor import Diagnosis, examine_study, fix
from search.searching.leftovers import sweep
from search.searching.study_folder import StudyFolder
from search.slots.checkpoint_store import CheckpointStore
from studies import StudyError
from studies.history import History, read_history
from studies.lock import LockedError
from studies.storage import StorageError, owned

PART = "123.part"


def checkpoints_of(folder: Path, trial: int) -> CheckpointStore:
    return StudyFolder(folder.parent, folder.name).checkpoints(trial)


def place(folder: Path) -> StudyFolder:
    return StudyFolder(folder.parent, folder.name)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with a study that has every kind of trial, as a search that was stopped leaves it."""
    runs = tmp_path_factory.mktemp("sound")
    folder = runs / "tiny"
    folder.mkdir()
    split = Split(np.arange(90), np.arange(90, 100), seed=0)
    split.save(folder / "split.npz")
    manifest = replace(MANIFEST, split_fingerprint=split.fingerprint)
    with starter(f"sqlite:///{runs}/studies.db")(trials=5, manifest=manifest) as study:
        for number in (0, 1):
            ask(study)
            for epoch in (1, 2, 3):
                study.report(number, epoch=epoch, accuracy=0.5)
            study.complete(number, checkpoint=checkpoints_of(folder, number).finish(f"weights {number}".encode()))
        for number in (2, 3, 4):
            ask(study)
            study.report(number, epoch=1, accuracy=0.1)
        study.prune(2)
        study.fail(3, outcome="diverged", message="nan")
        study.put_back(4)
        checkpoints_of(folder, 4).save(7, b"a state")
    (runs / "studies.db.tiny.lock").write_text("1\n")  # its process is gone
    (folder / "slots.log").touch()
    return runs


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """The folder of a copy of that study."""
    shutil.copytree(sound, tmp_path / "runs")
    return tmp_path / "runs" / "tiny"


def examine(folder: Path) -> Diagnosis:
    return examine_study(folder.parent)


def history(folder: Path) -> History:
    return read_history("tiny", storage=f"sqlite:///{folder.parent}/studies.db")


def url(folder: Path) -> str:
    return f"sqlite:///{folder.parent}/studies.db"


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def change(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder.parent / "studies.db") as database:
        assert database.execute(statement).rowcount == 1
    database.close()


def set_attribute(folder: Path, key: str, value: object, *, trial: int = 0) -> None:
    change(
        folder,
        f"UPDATE trial_user_attributes SET value_json = '{json.dumps(value)}' WHERE key = '{key}' AND trial_id = "
        f"(SELECT trial_id FROM trials WHERE number = {trial})",
    )


def set_state(folder: Path, state: str, *, trial: int) -> None:
    change(folder, f"UPDATE trials SET state = '{state}' WHERE number = {trial}")


def ask_for(folder: Path, trials: int) -> None:
    change(folder, f"UPDATE study_user_attributes SET value_json = '{trials}' WHERE key = 'planned'")
    text = json.dumps({"trials": str(trials)})
    change(folder, f"UPDATE study_user_attributes SET value_json = '{text}' WHERE key = 'start_0001'")


def other_split(folder: Path) -> None:
    Split(np.arange(10, 100), np.arange(10), seed=0).save(folder / "split.npz")


def flip_a_bit(folder: Path) -> None:
    path = checkpoints_of(folder, 0).folder / "final.ckpt"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def unfinished_report(folder: Path) -> None:
    write(folder / "report" / ".unfinished-abc" / "report.md")


# What is done to a study, a part of the message that names it, and whether it can be repaired.
TAMPERED: dict[str, tuple[Callable[[Path], object], str, bool]] = {
    "a running trial of a dead search": (lambda f: set_state(f, "RUNNING", trial=4), "trial 4 is running", True),
    "a complete trial without its checkpoint's hash": (
        lambda f: change(f, "DELETE FROM trial_user_attributes WHERE key = 'checkpoint' AND trial_id = 1"),
        "trial 0 has none",
        False,
    ),
    "an epoch that is measured twice": (
        lambda f: set_attribute(f, "curve", [{"epoch": 1}, {"epoch": 1}], trial=2), "measured [1, 1]", False,
    ),
    "more trials than were asked for": (
        lambda f: ask_for(f, 2),
        "no start asked for more than 2",
        False,
    ),
    "no split": (lambda f: (f / "split.npz").unlink(), "split.npz is missing; restore it", False),
    "a split that is none": (lambda f: write(f / "split.npz", "text"), "is not a saved split", False),
    "another split": (other_split, "is not the study's split", False),
    "a checkpoint of a pruned trial": (lambda f: checkpoints_of(f, 2).save(3, b""), "trial 2, which is pruned", True),
    "a final checkpoint of a failed trial": (lambda f: checkpoints_of(f, 3).finish(b"x"), "trial 3, which is failed", True),  # noqa: E501
    "a checkpoint of an unknown trial": (lambda f: checkpoints_of(f, 99).save(3, b"x"), "trial 99, which is unknown", True),  # noqa: E501
    "an empty folder of checkpoints": (lambda f: checkpoints_of(f, 123456).folder.mkdir(), "trial 123456, which is unknown", True),  # noqa: E501
    "a passing checkpoint of a complete trial": (
        lambda f: write(checkpoints_of(f, 0).folder / "step-00000007.ckpt"), "step-00000007.ckpt is left over", True,
    ),
    "half a checkpoint of a complete trial": (
        lambda f: write(checkpoints_of(f, 0).folder / f"final.ckpt.{PART}"), f"final.ckpt.{PART} is left over", True,
    ),
    "half a checkpoint of a waiting trial": (
        lambda f: write(checkpoints_of(f, 4).folder / f"step-00000007.ckpt.{PART}"), f"7.ckpt.{PART} is left over", True,  # noqa: E501
    ),
    "half a split": (lambda f: write(f / f"split.npz.{PART}"), f"split.npz.{PART} is left over", True),
    "half of the final weights": (
        lambda f: write(f / "retraining" / f"weights-1.safetensors.{PART}"), "safetensors.123.part is left over", True,
    ),
    "half a report": (unfinished_report, ".unfinished-abc is left over", True),
    "a lost final checkpoint": (
        lambda f: checkpoints_of(f, 0).clear(), "`cifar-search reproduce 0 --study tiny --keep` trains them again", False,  # noqa: E501
    ),
    "a damaged final checkpoint": (flip_a_bit, "its result stands, its weights are lost", False),
    "another whole checkpoint": (lambda f: checkpoints_of(f, 0).finish(b"other weights"), "another than SHA-256", False),  # noqa: E501
}  # fmt: skip


def test_the_ledger_of_a_sound_study_is_true(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    ledger = examine(folder)

    assert (ledger.findings, ledger.notes) == ((), ())
    assert (ledger.study, ledger.planned) == ("tiny", 5)
    assert ledger.counts == {"complete": 2, "pruned": 1, "failed": 1, "running": 0, "waiting": 1}
    assert fix(folder.parent) == ()
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert after.items() <= before.items()


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_found_and_repaired_or_named(folder: Path, what: str) -> None:
    tamper, said, fixable = TAMPERED[what]
    tamper(folder)

    (finding,) = examine(folder).findings
    done = fix(folder.parent)

    assert said in finding.message
    assert finding.fixable is fixable
    assert len(done) == fixable
    assert examine(folder).findings == (() if fixable else (finding,))
    assert history(folder).counts == {"complete": 2, "pruned": 1, "failed": 1, "running": 0, "waiting": 1}


def test_all_is_repaired_at_once(folder: Path) -> None:
    fixable = [tamper for tamper, _, fixable in TAMPERED.values() if fixable]
    for tamper in fixable:
        tamper(folder)

    assert len(examine(folder).findings) == len(fixable)
    assert len(fix(folder.parent)) == len(fixable)
    assert examine(folder).findings == ()


def test_what_is_not_ours_stays(folder: Path) -> None:
    strange = [
        folder / "trials" / "notes" / "step-1.ckpt",
        checkpoints_of(folder, 2).folder / "mine.txt",
        folder / "a.txt",
    ]
    for path in strange:
        write(path)
    write(checkpoints_of(folder, 2).folder / "step-00000001.ckpt")

    assert len(fix(folder.parent)) == 1
    assert [path.exists() for path in strange] == [True, True, True]
    assert examine(folder).findings == ()


def test_a_search_at_work_is_left_alone(folder: Path) -> None:
    set_state(folder, "RUNNING", trial=4)
    parts = [checkpoints_of(folder, 4).folder / f"step-00000008.ckpt.{PART}", folder / f"split.npz.{PART}"]
    for part in parts:
        write(part)

    with owned(url(folder), study="tiny"):
        ledger = examine(folder)
        with pytest.raises(LockedError, match=f"process {os.getpid()} already works on study 'tiny'"):
            fix(folder.parent)

    assert ledger.findings == ()
    assert ledger.notes == ("a search is at work: what is left over was not looked for",)
    assert all(part.exists() for part in parts)
    assert len(examine(folder).findings) == 3


def test_a_study_without_files_here_is_checked_by_its_records(folder: Path) -> None:
    shutil.rmtree(folder)

    ledger = examine(folder)

    assert ledger.findings == ()
    assert ledger.notes == (f"nothing of the study lies in {folder}: its files were not checked",)
    assert fix(folder.parent) == ()
    assert not folder.exists()


def test_what_cannot_be_removed_stays_a_finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no")

    write(folder / f"split.npz.{PART}")
    monkeypatch.setattr(Path, "unlink", refuse)

    assert fix(folder.parent) == ()
    assert len(examine(folder).findings) == 1


def test_a_start_sweeps_what_nobody_needs(folder: Path) -> None:
    checkpoints_of(folder, 2).save(1, b"x")
    checkpoints_of(folder, 99).save(1, b"x")
    write(folder / f"split.npz.{PART}")

    done = sweep(place(folder), history(folder))

    assert done == tuple(f"removed {folder}/{name}" for name in (f"split.npz.{PART}", "trials/00002", "trials/00099"))
    assert examine(folder).findings == ()
    assert sweep(place(folder), history(folder)) == ()
    assert sweep(StudyFolder(folder, "nowhere"), history(folder)) == ()


def test_a_waiting_trial_keeps_what_it_goes_on_from(folder: Path) -> None:
    sweep(place(folder), history(folder))
    fix(folder.parent)

    assert checkpoints_of(folder, 4).newest()[0] == b"a state"


def test_the_study_is_named_or_the_last_one(folder: Path) -> None:
    with starter(url(folder))("later", provenance={"time": "2030"}) as study:
        study.ask(suggest)

    assert examine_study(folder.parent).study == "later"
    assert examine_study(folder.parent, study="tiny").study == "tiny"
    with pytest.raises(StudyError, match="there is no study 'tinny'; did you mean 'tiny'"):
        examine_study(folder.parent, study="tinny")


def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    for attempt in (examine_study, fix):
        with pytest.raises(StorageError, match="there is no database"):
            attempt(tmp_path, study="tiny")
    assert list(tmp_path.iterdir()) == []


def test_the_ledger_is_drawn_line_by_line_and_as_json(folder: Path) -> None:
    checkpoints_of(folder, 2).save(1, b"x")
    checkpoints_of(folder, 0).clear()
    ledger = examine(folder)
    drawn = io.StringIO()

    Console(width=60, file=drawn).print(diagnosis_text(ledger, done=["removed x"]), soft_wrap=True)
    first, orphan, lost, last = drawn.getvalue().splitlines()

    assert first == "repaired: removed x"
    assert f"{folder}/trials/00002 is left of trial 2, which is pruned" in orphan
    assert "reproduce 0 --study tiny --keep" in lost
    assert "2 problems found; `cifar-search doctor --study tiny --fix` repairs 1 of them" in last
    found = json.loads(json.dumps(ledger.as_json()))
    assert (found["true"], found["study"], found["planned"], found["counts"]["complete"]) == (False, "tiny", 5, 2)
    assert [finding["trial"] for finding in found["findings"]] == [2, 0]


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The program's entry point: its exit code and all that it prints."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["cifar-search", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), "".join(capsys.readouterr())

    return call


def test_the_exit_code_says_whether_it_is_true(folder: Path, call: Call) -> None:
    place = ("--runs", folder.parent)
    assert call("doctor", *place)[0] == 0
    checkpoints_of(folder, 2).save(1, b"x")

    code, said = call("doctor", *place, "--json")
    assert (code, json.loads(said)["true"], json.loads(said)["done"]) == (4, False, [])
    code, said = call("doctor", *place, "--fix")
    assert (code, "repaired: removed the checkpoints in" in said, "no problems found" in said) == (0, True, True)
    with owned(url(folder), study="tiny"):
        assert call("doctor", *place, "--fix")[0] == 4
    (folder / "split.npz").unlink()
    assert call("doctor", *place, "--fix")[0] == 4


def test_torch_is_not_needed_to_look(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from search.inspecting.doctor import examine_study\n"
        "assert examine_study(Path(sys.argv[1])).findings == ()\n"
        "print({'torch'} & {*sys.modules})\n"
    )
    command = [sys.executable, "-c", code, folder.parent]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(cli.__file__).parents[2])

    assert done.stdout == "set()\n"
