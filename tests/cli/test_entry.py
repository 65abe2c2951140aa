"""How a command starts: before its imports, from where it comes, and what it refuses before it looks further."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from tiny import ROOT, python

Call = Callable[..., tuple[int, str, str]]

INTERRUPTED = """
import os, signal, sys
from search.cli import main
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
main()
"""


@pytest.mark.parametrize("imported", ["search.cli.entry", "typer", "search.slots.signals"])
def test_ctrl_c_while_the_program_is_imported_leaves_in_order(imported: str) -> None:
    with python(INTERRUPTED, imported, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert (child.communicate()[0], child.returncode) == ("", 130)


def test_the_entry_point_imports_nothing_before_it_can_leave_in_order() -> None:
    code = "import sys; before = {*sys.modules}; import search.cli; print(sorted({*sys.modules} - before))"
    with python(code, stdout=subprocess.PIPE) as child:
        assert child.communicate()[0] == "['search', 'search.cli']\n"


@pytest.mark.parametrize("name", ["studies/__init__.py", "spaces/__init__.py", "spaces.py"])
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("from search.cli import main; main()", "cifar-search: there is no database at none/studies.db;"),
        ("from search import read_history, run", ""),
    ],
)
def test_packages_of_the_same_names_on_the_path_are_not_taken_for_ours(
    tmp_path: Path, name: str, code: str, says: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    path = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    words = [sys.executable, "-c", code, "spaces", "advise", "--runs", "none"]  # it needs both packages
    done = subprocess.run(words, env=path, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[: len(says) or None]) == (5 if says else 0, says)


def test_a_module_that_is_run_is_the_command() -> None:
    words = [sys.executable, "-m", "search", "status", "--trails", "3"]
    done = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: cifar-search status [OPTIONS]\n")


def test_version_and_help_are_found_where_people_look_for_them(call: Call) -> None:
    assert call("--version") == (0, f"cifar-search {version('cifar-search')}\n", "")
    for words in ((), ("run",), ("best",), ("spaces",), ("spaces", "show")):
        assert call(*words, "-h") == call(*words, "--help")
        assert call(*words, "-h")[0] == 0
    assert re.match(r"Usage: cifar-search \[OPTIONS\] COMMAND", "".join(call()[1:]))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["best", "--retrain", "--data", ""], "--data"),
        (["run", "--space", "smoke", "--study="], "--study"),
        (["status", "--runs", "", "--json"], "--runs"),
        (["run", "--ray", "--storage", ""], "--storage"),
        (["dashboard", "--runs="], "--runs"),
        (["explain", ""], "explain"),
        ([""], "cifar-search"),
    ],
)
def test_an_empty_value_is_refused_by_name(call: Call, words: list[str], named: str) -> None:
    code, output, errors = call(*words)
    assert (code, output) == (2, "")
    assert errors.startswith(f"cifar-search: the value after {named} is empty, ")
