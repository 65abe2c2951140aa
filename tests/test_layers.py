"""The import contracts of pyproject.toml hold, and the test set is sealed in the source itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_only_one_module_opens_the_test_set() -> None:
    openers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "search").rglob("*.py")
        if re.search(r"\bload_test\(|\.test\(\)", path.read_text(encoding="utf-8"))
    ]

    assert sorted(openers) == ["search/data/cifar10.py", "search/data/sources.py", "search/deciding/testing.py"]


def test_every_module_says_what_it_is_for() -> None:
    modules = [path for folder in ("search", "spaces", "studies") for path in (ROOT / folder).rglob("*.py")]
    silent = [path.name for path in modules if not re.match(r'(""".+)', path.read_text(encoding="utf-8"))]

    assert modules
    assert not silent
