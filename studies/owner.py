"""Which supervisor a running trial belongs to, and whether that process still lives."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

BEAT = 10.0  # seconds from one sign of life to the next
GRACE = 60.0  # seconds without one, watched throughout, after which a supervisor counts as dead
PREFIX = "supervisor:"  # study attribute: supervisor:<uuid>

Verdict = Literal["lives", "dead", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A supervisor as the others know it."""

    uuid: str
    host: str
    pid: int
    boot: str | None  # of the machine it runs on; None where the system does not tell
    namespace: str | None  # of process ids: in another one the same pid is another process
    ticks: int | None  # of the clock, from the machine's start to the process's
    beat: int = 0  # counts its signs of life

    @classmethod
    def this_process(cls) -> Owner:
        """A new identity."""
        pid = os.getpid()
        return cls(
            uuid=uuid4().hex,
            host=socket.gethostname(),
            pid=pid,
            boot=_boot(),
            namespace=_namespace(),
            ticks=_ticks(pid),
        )

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def owners(attributes: Mapping[str, Any]) -> dict[str, Owner]:
    """The supervisors among a study's attributes, by uuid."""
    found = (Owner(**value) for key, value in attributes.items() if key.startswith(PREFIX))
    return {owner.uuid: owner for owner in found}


def exists(owner: Owner) -> bool | None:
    """Whether the owner's process is there; None where it cannot be seen from this process."""
    if owner.ticks is None or owner.boot is None or (owner.boot, owner.namespace) != (_boot(), _namespace()):
        return None
    ticks = _ticks(owner.pid)
    if ticks is not None:
        return ticks == owner.ticks
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's, and hidden from this one
    return None


@dataclass(frozen=True, kw_only=True)
class _Seen:
    beat: int
    since: float  # by the watch's clock: not changed since then
    changed: bool = False  # at least once while it was watched


@dataclass
class Watch:
    """When this supervisor has to beat, and whether the others live: those of other machines if their beat changes.

    No two clocks are ever compared.
    """

    clock: Callable[[], float] = time.monotonic
    exists: Callable[[Owner], bool | None] = exists
    _owners: dict[str, Owner] = field(default_factory=dict, init=False)
    _seen: dict[str, _Seen] = field(default_factory=dict, init=False)
    _looked: float = field(default=float("-inf"), init=False)
    _beaten: float = field(default=float("-inf"), init=False)

    @property
    def due(self) -> bool:
        """Whether it is time for the next beat."""
        return self.clock() - self._beaten >= BEAT

    def beaten(self, *, stored: bool) -> None:
        """Says that there was a beat, or that the last one was not stored after all."""
        self._beaten = self.clock() if stored else float("-inf")

    def look(self, owners: Mapping[str, Owner]) -> None:
        """Takes in all supervisors of the study as they stand now."""
        now = self.clock()
        # Who looked away, by an outage or because it was stopped, cannot say what it would have seen.
        before = self._seen if now - self._looked <= 2 * BEAT else {}
        self._owners, self._looked = dict(owners), now
        self._seen = {uuid: _seen(owner.beat, before.get(uuid), now=now) for uuid, owner in owners.items()}

    def judge(self, uuid: str | None) -> Verdict:
        """What the looks so far say of a supervisor; one that is not in the study has left it, or was found dead."""
        if uuid is None or uuid not in self._owners:
            return "dead"
        there = self.exists(self._owners[uuid])
        if there is not None:
            return "lives" if there else "dead"
        seen = self._seen[uuid]
        if self._looked - seen.since >= GRACE:
            return "dead"
        return "lives" if seen.changed else "unknown"


def _seen(beat: int, before: _Seen | None, *, now: float) -> _Seen:
    if before is not None and before.beat == beat:
        return before
    return _Seen(beat=beat, since=now, changed=before is not None)


def _boot() -> str | None:
    return _read("/proc/sys/kernel/random/boot_id")


def _namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _ticks(pid: int) -> int | None:
    """When a process started; 0 for one that is dead and only not yet buried by its parent."""
    text = _read(f"/proc/{pid}/stat")
    if text is None:
        return None
    state, *numbers = text.rpartition(")")[2].split()  # a process's name may hold blanks and brackets
    return 0 if state in "ZX" else int(numbers[18])


def _read(file: str) -> str | None:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
