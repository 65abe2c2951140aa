"""What the shell's limits (`ulimit`) cut off is told by their names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("cifar-search")


@pytest.mark.fault("the shell's limit of memory (`ulimit -v`), too low for torch", then="exit 6 by its name")
def test_too_little_memory_for_torch(tmp_path: Path) -> None:
    words = f"ulimit -v 1500000 && exec {PROGRAM} run --space smoke --data synthetic --runs {tmp_path}/runs"
    done = subprocess.run(["/bin/sh", "-c", words], check=False, capture_output=True, text=True)
    assert done.returncode == 6, done.stderr
    assert done.stderr.startswith(
        "cifar-search: this shell limits the memory of a process (ulimit -v: 1,500,000 kB), which is too little: "
    )
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
