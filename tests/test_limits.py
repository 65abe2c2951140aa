"""What the shell's limits (`ulimit`) cut off is told by their names."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from tiny import forked

from search.files import write_whole
from search.slots.job_runner import UnsavedError, _writing
from studies.storage import StorageError, opened

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


def write_too_much(folder: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40 << 10, hard))
    limit = r"this shell limits the size of a file \(ulimit -f: 40 kB\)"
    with pytest.raises(StorageError, match=f"disk I/O error; {limit}"), opened(f"sqlite:///{folder}/studies.db"):
        pass
    with pytest.raises(UnsavedError, match=f"cannot write .*c.ckpt: File too large; {limit}"), _writing(folder):
        write_whole(folder / "c.ckpt", bytes(50_000))


@pytest.mark.fault("the shell's limit of the size of a file (`ulimit -f`)", then="exit 5 by its name")
def test_a_file_larger_than_allowed(tmp_path: Path) -> None:
    assert forked(partial(write_too_much, tmp_path)) == 0
