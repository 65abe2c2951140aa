"""How many slots at a time give the most trials per minute, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from search.searching.setup import Opening
from search.slots.job import Job, Leaving
from search.slots.machine import Machine
from search.slots.mps import sharing
from search.slots.pool import Slots
from search.slots.slot_state import SlotError

GAIN = 1.10  # at least, for a step up: with more trials at a time the sampler knows less of each that it draws
ROOM = 0.90  # share of the free memory that slots may take: trials may be larger than the one that was measured
CGROUP = Path("/sys/fs/cgroup")  # version 2: what a container may take of its machine's memory


@dataclass(frozen=True, kw_only=True)
class Packed:
    """So many slots at a time, as measured."""

    slots: int
    images_per_second: float  # of all together
    memory_mb: float | None  # that one of them takes of its device at its peak; None where nothing tells


@dataclass(frozen=True, kw_only=True)
class SlotCount:
    """The numbers of slots that were tried, the fewest first, and why there were no more."""

    tried: tuple[Packed, ...]
    end: str

    @property
    def best(self) -> Packed:
        """The last one that was worth its step."""
        last = self.tried[-1]
        before = self.tried[max(0, len(self.tried) - 2)]
        return last if last.images_per_second >= GAIN * before.images_per_second else before

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each, and one for the choice."""
        first = self.tried[0]
        rows = [_line(first)]
        one = "one slot" if first.slots == 1 else f"{first.slots} slots"
        rows += [
            f"{_line(row)}, {row.images_per_second / first.images_per_second:.2f} x {one}" for row in self.tried[1:]
        ]
        return (*rows, f"{_counted(self.best.slots)} at a time: {self.end}")


def _line(row: Packed) -> str:
    memory = "" if row.memory_mb is None else f", {row.memory_mb:,.0f} MB each"
    return f"{_counted(row.slots)}: {row.images_per_second:,.0f} images/s{memory}"


def _counted(slots: int) -> str:
    return f"{slots} slot{'s' * (slots > 1)}"


@contextmanager
def packed(
    opening: Opening, job: Job, *, split: Path, log: Path, work: str, leaving: Leaving
) -> Iterator[tuple[Opening, tuple[str, ...], tuple[str, ...]]]:
    """The opening with MPS where it was asked for, and with as many slots as pay where the number is to be found.

    With it come what to say of MPS, and what was measured. Raises DeviceError, SlotError.
    """
    search = opening.search
    notes: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    with ExitStack() as stack:
        if search.mps:
            known = None if search.slots == "auto" else opening.machine.slots
            shared = stack.enter_context(sharing(opening.machine, slots=known))
            opening, notes = replace(opening, mps=shared.pipes), (shared.note,)
        if search.slots == "auto":
            packing = find_packing(opening, job, split=split, log=log, work=work, leaving=leaving)
            opening = replace(opening, machine=opening.machine.with_slots(packing.best.slots))
            measured = packing.lines
        yield opening, notes, measured


def find_packing(opening: Opening, job: Job, *, split: Path, log: Path, work: str, leaving: Leaving) -> SlotCount:
    """Measure the job on 1, 2, 4, ... slots of each device at a time, each number on fresh slots. Raises SlotError."""
    machine = opening.machine
    free = free_mb(machine)

    def measure(slots: int) -> Packed:
        settings = opening.settings(machine.with_slots(slots), split=split)
        with Slots(settings, log=log, work=work) as found:
            speed = found.measure(job, leaving=leaving)
            taken = _taken_mb(machine, free, pids=found.pids)
        return Packed(slots=slots, images_per_second=speed, memory_mb=taken)

    room = min(free, default=None)
    return pack(
        steps(machine, most=opening.search.trials),
        measure=measure,
        room_mb=None if room is None else ROOM * room * max(1, machine.gpus),
        leaving=leaving,
    )


def pack(
    numbers: Iterable[int], *, measure: Callable[[int], Packed], room_mb: float | None, leaving: Leaving = lambda: False
) -> SlotCount:
    """Try these numbers of slots while each gains enough and all fit into `room_mb` (None: nobody knows).

    Raises SlotError where not even the first can be measured.
    """
    tried: list[Packed] = []
    for slots in numbers:
        if tried and (full := _full(slots, tried, room_mb=room_mb)):
            return SlotCount(tried=tuple(tried), end=full)
        try:
            tried.append(measure(slots))
        except SlotError as error:
            if not tried:
                raise
            return SlotCount(tried=tuple(tried), end=f"{_counted(slots)} failed ({str(error).splitlines()[0]})")
        if leaving():
            return SlotCount(tried=tuple(tried), end="the measurement was interrupted")
        if len(tried) > 1 and tried[-1].images_per_second < GAIN * tried[-2].images_per_second:
            return SlotCount(tried=tuple(tried), end=f"{_counted(slots)} gain less than {100 * (GAIN - 1):.0f} % more")
    return SlotCount(tried=tuple(tried), end="there are no cores or trials for more")


def _full(slots: int, tried: Sequence[Packed], *, room_mb: float | None) -> str:
    each = max((row.memory_mb for row in tried if row.memory_mb is not None), default=None)
    if room_mb is None or each is None or slots * each <= room_mb:
        return ""
    return f"{_counted(slots)} need {slots * each:,.0f} MB, and {room_mb:,.0f} MB may be taken"


def steps(machine: Machine, *, most: int) -> Iterator[int]:
    """Numbers of slots, each at least twice the one before, none above `most` but the first.

    On GPUs as many on each; on a CPU such that their threads share the cores evenly, a core for each at least.
    """
    slots = max(1, machine.gpus)
    while True:
        yield slots
        slots *= 2
        if not machine.gpus:
            slots = next((n for n in range(slots, machine.cores + 1) if machine.cores % n == 0), most + 1)
        if slots > most:
            return


def free_mb(machine: Machine) -> list[float]:
    """Free memory of each GPU, or of this machine for its CPU; empty where nothing tells.

    On a GPU it opens a context in this process, which keeps some hundred MB until the process ends.
    """
    if machine.gpus:
        return [torch.cuda.mem_get_info(index)[0] / 2**20 for index in range(machine.gpus)]
    return _available_mb()


def _taken_mb(machine: Machine, before: Sequence[float], *, pids: Sequence[int]) -> float | None:
    """What one of these processes took, while they live.

    On a GPU context and all: torch's allocator gives nothing back before its process ends.
    """
    if machine.gpus:
        after = free_mb(machine)
        return max(then - now for then, now in zip(before, after, strict=True)) / (len(pids) / machine.gpus)
    return max(filter(None, map(_peak_mb, pids)), default=None)


def _peak_mb(pid: int) -> float | None:
    """Peak resident memory of a process; None where there is no Linux to ask. Pages that slots share are counted in."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def _available_mb() -> list[float]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return []
    found = [int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:")]
    try:
        limit, used = ((CGROUP / name).read_text(encoding="utf-8").strip() for name in ("memory.max", "memory.current"))
    except OSError:  # no version 2, or no container
        return found
    return found if limit == "max" else [min([*found, (int(limit) - int(used)) / 2**20])]
