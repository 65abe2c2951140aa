"""Folders of pictures."""

from pathlib import Path

import pytest
from photos import Make, maker


@pytest.fixture
def folder(tmp_path: Path) -> Make:
    return maker(tmp_path)
