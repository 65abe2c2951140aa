"""What is installed is what was tested."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_both_lists_of_tested_versions_are_the_same() -> None:
    """With hashes and without; CONTRIBUTING.md says how both are made."""
    hashed = re.findall(r"^(\S.*?) *\\$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() == hashed
