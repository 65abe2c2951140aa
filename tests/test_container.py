"""What a container grants is read from control groups of both versions, real ones where this machine has them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from control_groups import limited
from tiny import python

from search.container import Container
from search.slots import machine

GB = 2**30


def container(folder: Path, own: str, files: Mapping[str, str]) -> Container:
    """Control groups made of files."""
    (folder / "own").write_text(own)
    for name, text in files.items():
        (folder / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "root" / name).write_text(text + "\n")
    return Container(root=folder / "root", own=folder / "own")


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1),
        ("0::/", {"cpu.max": "1000 100000"}, 1),  # a hundredth of one still runs
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/pods/mine", {"pods/cpu.max": "300000 100000", "pods/mine/cpu.max": "800000 100000"}, 3),
        ("0::/", {"cpu.max": "9900000 100000"}, 64),
        ("3:cpu,cpuacct:/docker/1", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ("3:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("3:cpuset:/", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("0::/", {}, 64),
    ],
)
def test_a_quota_counts_as_cores(
    own: str, files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    found = container(tmp_path, own, files)
    assert found.cores() == (cores, 64)
    monkeypatch.setattr(machine, "Container", lambda: found)
    words = f"{cores} of 64 cores, by the container's limit" if cores < 64 else "64 cores"
    assert machine.survey("cpu").title.startswith(f"CPU with {words}, ")


@pytest.mark.parametrize(
    ("own", "files", "memory", "kills"),
    [
        (
            "0::/",
            {"memory.max": f"{2 * GB}", "memory.current": f"{GB}", "memory.events": "oom 4\noom_kill 3"},
            (2, 1),
            3,
        ),
        ("0::/", {"memory.max": "max", "memory.current": f"{GB}"}, (math.inf, math.inf), 0),
        (
            "4:memory:/a",
            {
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "memory/memory.usage_in_bytes": f"{GB}",
                "memory/a/memory.limit_in_bytes": f"{2 * GB}",
                "memory/a/memory.usage_in_bytes": f"{GB}",
                "memory/a/memory.oom_control": "under_oom 0\noom_kill 1",
            },
            (2, 1),
            1,
        ),
    ],
)
def test_memory_and_the_kills_for_it(
    own: str, files: dict[str, str], memory: tuple[float, float], kills: int, tmp_path: Path
) -> None:
    found = container(tmp_path, own, files)
    assert [limit / GB for limit in found.memory()] == [*memory]
    assert found.memory_kills() == kills


def test_where_there_are_no_control_groups_nothing_is_limited(tmp_path: Path) -> None:
    found = Container(root=tmp_path, own=tmp_path / "nothing")
    assert found.cores()[0] == found.cores()[1]
    assert (found.memory(), found.memory_kills()) == ((math.inf, math.inf), 0)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_real_quota_is_seen() -> None:
    code = "input(); from search.container import Container; print(*Container().cores())"
    with limited("cpu", cfs_quota_us=100_000) as admit, python(code, stdin=-1, stdout=-1) as process:
        admit(process.pid)
        said, _ = process.communicate("\n")
    assert said.split()[0] == "1"
