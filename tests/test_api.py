"""What a program may rely on: `from search import ...`, quick and complete."""

from __future__ import annotations

import subprocess
import sys

import pytest

import search


def test_every_listed_name_can_be_imported() -> None:
    assert all(getattr(search, name) for name in search.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Serach'"):
        _ = search.Serach


def test_importing_search_and_its_requests_is_quick() -> None:
    code = "import sys; from search import Decision, Search; print({'torch', 'optuna', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
