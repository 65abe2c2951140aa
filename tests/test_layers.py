"""The import contracts and the house rules hold, and the test set is sealed in the source itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("search", "spaces", "studies")
SOURCE = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
}


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_only_one_module_opens_the_test_set_and_one_looks_at_its_pixels() -> None:
    openers = [name for name, text in SOURCE.items() if re.search(r"\bload_test\(|\.test\(\)", text)]

    of_data = ["search/data/cifar10.py", "search/data/pictures.py", "search/data/sources.py"]
    assert sorted(openers) == [*of_data, "search/deciding/testing.py", "search/inspecting/explore.py"]
    looking = {name for name, text in SOURCE.items() if "inspecting.explore import" in text}
    assert looking == {"search/cli/commands.py", "search/console/explored.py", "search/reporting/explored.py"}


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, text in SOURCE.items() if not re.match(r'"""[A-Z].*\.', text)] == []


def test_no_file_and_no_function_has_two_meanings() -> None:
    tests = {str(path): path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    files = {name: text.count("\n") for name, text in {**SOURCE, **tests}.items()}
    functions = {
        f"{name}::{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, text in SOURCE.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    folders = Counter(Path(name).parent.as_posix() for name in SOURCE)

    assert {name: lines for name, lines in files.items() if lines > 300} == {}
    assert {name: lines for name, lines in functions.items() if lines > 60} == {}
    assert {name: modules for name, modules in folders.items() if modules > 14 + 1} == {}  # and its __init__


def test_a_class_name_stands_for_one_thing() -> None:
    trees = [ast.parse(text) for text in SOURCE.values()]
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))

    assert [name for name, count in names.items() if count > 1] == []


def test_studies_use_no_private_name_of_optuna() -> None:
    private = [
        f"{name}: {ast.unparse(node)}"
        for name, text in SOURCE.items()
        if name.startswith("studies/")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr)
        if not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]

    assert private == []
    assert not any(re.search(r"(from|import) optuna[\w.]*\._", text) for text in SOURCE.values())
