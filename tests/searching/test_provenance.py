"""A number says where it comes from: the code, the machine, the data, and what differs when it is made again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import MANIFEST

from search.data.sources import find_source
from search.searching import provenance as provenances
from search.searching.provenance import Difference, code_state, differences_of, provenance, start_of
from search.slots.machine import survey
from studies.history import TrialRecord

TRIAL = TrialRecord(
    number=0, state="complete", values={}, accuracy=0.5, outcome=None, message=None, epochs=(), curve=(), seed=1,
    attributes={}, violations={}, baseline=None, started=None, seconds=None, start=2, attempts=1,
)  # fmt: skip

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@nowhere")
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A source folder with one commit."""
    for name in ("search", "spaces", "studies"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("one = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def test_everything_that_a_number_depends_on_is_said() -> None:
    machine = survey("cpu", slots=1)
    found = provenance(machine, source=find_source("synthetic"), manifest=MANIFEST)
    assert all(isinstance(value, str) and value for value in found.values())
    assert {
        "time", "host", "command", "code", "cifar-search", "torch", "torchvision", "optuna", "numpy", "python",
        "platform", "cpu", "instruction sets", "device", "slots", "threads", "cores", "precision", "data",
        "data SHA-256", "split SHA-256", "space", "study seed",
    } == found.keys()  # fmt: skip
    assert (found["device"], found["threads"], found["study seed"]) == ("cpu", str(machine.threads), "0")
    assert found["time"].endswith("+00:00")


def test_a_graphics_card_is_named_with_its_libraries() -> None:
    machine = replace(survey("cpu", slots=1), kind="cuda", name="NVIDIA H200")
    found = provenance(machine, source=find_source("synthetic"), manifest=MANIFEST)
    assert (found["device"], found["device name"]) == ("cuda", "NVIDIA H200")
    assert {"cuda", "cudnn"} <= found.keys()
    assert set(provenances.CIRCUMSTANCES) - {"compile"} <= found.keys()  # it is told where networks are compiled


@pytest.mark.parametrize("word", ["--storage=postgresql://me:ge+heim@host/db", "postgresql://me:ge+heim@host/db"])
def test_a_password_is_not_part_of_it(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/cifar-search", "run", word, "--runs", "my runs"])
    found = provenance(survey("cpu", slots=1), source=find_source("synthetic"), manifest=MANIFEST)
    assert "heim" not in str(found)
    assert found["command"] == f"cifar-search run '{word.replace('ge+heim', '***')}' --runs 'my runs'"


@needs_git
def test_the_code_is_its_commit(checkout: Path) -> None:
    head = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    (checkout / "notes.txt").touch()
    assert code_state(checkout) == f"commit {head}"


@needs_git
@pytest.mark.parametrize("file", ["search/__init__.py", "spaces/new.yaml"])
def test_code_that_was_changed_since_says_so(checkout: Path, file: str) -> None:
    (checkout / file).write_text("two = 2\n")
    assert code_state(checkout).endswith(", changed since")


@needs_git
def test_an_installed_copy_is_not_the_project_around_it(checkout: Path) -> None:
    copy = checkout / ".venv" / "site-packages"
    (copy / "search").mkdir(parents=True)
    (copy / "search" / "__init__.py").touch()
    assert code_state(copy) == "not a git checkout"


@needs_git
def test_the_variables_of_a_hook_mislead_nobody(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = code_state(checkout)
    monkeypatch.setenv("GIT_DIR", str(checkout.parent / "elsewhere"))
    assert code_state(checkout) == known


def test_without_a_checkout_or_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_state(tmp_path) == "not a git checkout"
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    assert code_state(Path(__file__).parents[1]) == "not a git checkout"


def test_the_start_of_a_trial_is_the_one_that_it_names() -> None:
    starts = ({"threads": "1"}, {"threads": "2"})
    assert start_of(TRIAL, starts=starts)["threads"] == "2"
    assert start_of(replace(TRIAL, start=None), starts=starts) == {}


def test_what_differs_is_named_and_what_changes_nothing_is_not() -> None:
    then = {"torch": "2.10", "threads": "1", "host": "here", "slots": "4", "cuda": "13"}
    now = {"torch": "2.11", "threads": "1", "host": "there", "slots": "1", "numpy": "2.4"}
    assert differences_of(TRIAL, then=then, now=now, starts=(then,)) == (
        Difference(name="torch", then="2.10", now="2.11"),
        Difference(name="numpy", then="not recorded", now="2.4"),
        Difference(name="cuda", then="13", now="none"),
    )


@pytest.mark.parametrize("name", ["ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"])
def test_a_limit_of_the_instruction_sets_is_a_difference_and_an_older_record_excuses_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def here() -> dict[str, str]:
        return provenance(survey("cpu", slots=1), source=find_source("synthetic"), manifest=MANIFEST)

    def named(then: dict[str, str], now: dict[str, str]) -> list[tuple[str, str, str]]:
        differences = differences_of(TRIAL, then=then, now=now, starts=(then,))
        return [(each.name, each.then, each.now) for each in differences]

    for each in provenances.LIMITS:
        monkeypatch.delenv(each, raising=False)
    plain = here()
    older = {key: value for key, value in plain.items() if key != "instruction sets"}
    monkeypatch.setenv(name, "some")
    limited, sets = here(), plain["instruction sets"]
    assert sets == torch.backends.cpu.get_cpu_capability()
    assert named(plain, plain) == named(limited, limited) == named(older, plain) == []
    assert named(plain, limited) == [("instruction sets", sets, f"{sets}, {name}=some")]
    assert named(limited, plain) == [("instruction sets", f"{sets}, {name}=some", sets)]
    assert named(older, limited) == [("instruction sets", "not recorded", f"{sets}, {name}=some")]


@pytest.mark.parametrize(("attempts", "threads", "named"), [(1, "2", False), (2, "1", False), (2, "2", True)])
def test_a_trial_of_several_starts_may_differ_from_all_of_them(attempts: int, threads: str, named: bool) -> None:
    then = {"threads": "1"}
    starts = (then, {"threads": threads})
    assert bool(differences_of(replace(TRIAL, attempts=attempts), then=then, now=then, starts=starts)) is named
