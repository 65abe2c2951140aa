"""What a container leaves of this machine: its cores and its memory, as the kernel's control groups say."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Container:
    """The control groups of this process, of version 1 or 2; without any, nothing is limited."""

    root: Path = Path("/sys/fs/cgroup")
    own: Path = Path("/proc/self/cgroup")

    def cores(self) -> tuple[int, int]:
        """The cores that this process may use, a share of one counting as one; and those without the quota."""
        whole = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        quotas = self._pairs("cpu", ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))  # microseconds in a period
        return max(1, int(min([whole, *(quota / period for quota, period in quotas)]))), whole

    def memory(self) -> tuple[float, float]:
        """The memory that this process and its children may take, and what is free of it, in bytes; inf: no limit."""
        names = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
        pairs = [*self._pairs("memory", *names)]
        free = min((limit - used for limit, used in pairs), default=math.inf)
        return min((limit for limit, _ in pairs), default=math.inf), free

    def most_memory(self) -> float:
        """The memory of this machine, or what a container leaves of it, in bytes."""
        return min(self.memory()[0], os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))

    def memory_kills(self) -> int:
        """How many processes of this group were killed because memory ran out."""
        for group in self._groups("memory"):
            words = _words(group / "memory.events") or _words(group / "memory.oom_control")
            if "oom_kill" in words:
                return int(words[words.index("oom_kill") + 1])
        return 0

    def _pairs(self, controller: str, *names: tuple[str, ...]) -> Iterator[tuple[int, int]]:
        """The limit of each group with the number beside it, from the files of either version."""
        for group in self._groups(controller):
            for words in (_words(*map(group.joinpath, each)) for each in names):
                if len(words) == 2 and words[0].isdecimal() and int(words[0]) < 2**60:  # none is "max", -1 or 2**63
                    yield int(words[0]), int(words[1])

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
