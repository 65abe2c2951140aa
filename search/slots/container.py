"""What a container leaves of this machine: its cores and its memory, as the kernel's control groups say."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NO_LIMIT = 2**60  # bytes; version 1 writes 2**63 for none, version 2 "max"


@dataclass(frozen=True)
class Container:
    """The control groups of this process, of version 1 or 2; without any, nothing is limited."""

    root: Path = Path("/sys/fs/cgroup")
    own: Path = Path("/proc/self/cgroup")

    def cores(self) -> tuple[int, int]:
        """The cores that this process may use, a share of one counting as one; and those without the quota."""
        whole = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        limits = [float(whole)]
        for group in self._groups("cpu"):
            words = _words(group / "cpu.max") or _words(group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
            if len(words) == 2 and words[0].isdecimal():  # else "max" or -1: no limit
                limits.append(int(words[0]) / int(words[1]))  # microseconds of all cores in each period
        return max(1, int(min(limits))), whole

    def memory(self) -> tuple[float, float]:
        """The memory that this process and its children may take, and what is free of it, in bytes; inf: no limit."""
        limits, free = [math.inf], [math.inf]
        for group in self._groups("memory"):
            words = _words(group / "memory.max", group / "memory.current")
            words = words or _words(group / "memory.limit_in_bytes", group / "memory.usage_in_bytes")
            if len(words) == 2 and words[0].isdecimal() and int(words[0]) < 2**60:
                limits.append(int(words[0]))
                free.append(int(words[0]) - int(words[1]))
        return min(limits), min(free)

    def memory_kills(self) -> int:
        """How many processes of this group were killed because memory ran out."""
        for group in self._groups("memory"):
            words = _words(group / "memory.events") or _words(group / "memory.oom_control")
            if "oom_kill" in words:
                return int(words[words.index("oom_kill") + 1])
        return 0

    def _groups(self, controller: str) -> Iterator[Path]:
        """The groups up to the root. Inside a container its own may be the root, whatever its name says."""
        with suppress(OSError):
            for line in self.own.read_text(encoding="utf-8").splitlines():
                _, controllers, name = line.split(":", 2)
                if not controllers or controller in controllers.split(","):
                    top = self.root / controller if controllers else self.root
                    yield from (top / group.relative_to("/") for group in (Path(name), *Path(name).parents))


def _words(*files: Path) -> list[str]:
    """The words of all these files; none where one cannot be read."""
    try:
        return [word for file in files for word in file.read_text(encoding="utf-8").split()]
    except OSError:
        return []
