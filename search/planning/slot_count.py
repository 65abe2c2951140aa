"""How many slots at a time give the most trials per minute, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from search.slots.job import Condition, Job, SlotSettings
from search.slots.machine import Machine
from search.slots.pool import Pool
from search.slots.slot_state import SlotError
from search.text import plural

GAIN = 1.10  # at least, for a step up: with more trials at a time the sampler knows less of each that it draws
ROOM = 0.90  # share of the free memory that slots may take: trials may be larger than the one that was measured
CGROUP = Path("/sys/fs/cgroup")  # version 2: what a container may take of its machine's memory


@dataclass(frozen=True, kw_only=True)
class MeasuredCount:
    """So many slots at a time, as measured."""

    slots: int
    images_per_second: float  # of all together
    memory_mb: float | None  # that one of them takes of its device at its peak; None where nothing tells

    @property
    def line(self) -> str:
        """For a person."""
        memory = "" if self.memory_mb is None else f", {self.memory_mb:,.0f} MB each"
        return f"{plural(self.slots, 'slot')}: {self.images_per_second:,.0f} images/s{memory}"


@dataclass(frozen=True, kw_only=True)
class SlotCount:
    """The numbers of slots that were tried, the fewest first, and why there were no more."""

    tried: tuple[MeasuredCount, ...]
    end: str

    @property
    def best(self) -> MeasuredCount:
        """The last one that was worth its step."""
        last = self.tried[-1]
        before = self.tried[max(0, len(self.tried) - 2)]
        return last if last.images_per_second >= GAIN * before.images_per_second else before

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each, and one for the choice."""
        first = self.tried[0]
        one = "one slot" if first.slots == 1 else f"{first.slots} slots"
        more = (f"{row.line}, {row.images_per_second / first.images_per_second:.2f} x {one}" for row in self.tried[1:])
        return (first.line, *more, f"{plural(self.best.slots, 'slot')} at a time: {self.end}")


def find_slot_count(
    machine: Machine,
    job: Job,
    *,
    settings: Callable[[Machine], Sequence[SlotSettings]],
    most: int,
    log: Path,
    work: str,
    interrupted: Condition,
) -> SlotCount:
    """Measures the job on 1, 2, 4, ... slots of each device at a time, up to `most`, each on fresh slots.

    Raises SlotError.
    """
    free = free_mb(machine)

    def measure(slots: int) -> MeasuredCount:
        with Pool(settings(machine.with_slots(slots)), log=log, work=work) as pool:
            speed = pool.measure(job, interrupted=interrupted)
            taken = _taken_mb(machine, free, pids=pool.pids)
        return MeasuredCount(slots=slots, images_per_second=speed, memory_mb=taken)

    room = min(free, default=None)
    room_mb = None if room is None else ROOM * room * max(1, machine.gpus)
    return try_counts(steps(machine, most=most), measure=measure, room_mb=room_mb, interrupted=interrupted)


def try_counts(
    numbers: Iterable[int],
    *,
    measure: Callable[[int], MeasuredCount],
    room_mb: float | None,
    interrupted: Condition = lambda: False,
) -> SlotCount:
    """Tries these numbers of slots while each gains enough and all fit into `room_mb` (None: unknown).

    Raises SlotError where not even the first can be measured.
    """
    tried: list[MeasuredCount] = []

    def end(reason: str) -> SlotCount:
        return SlotCount(tried=tuple(tried), end=reason)

    for slots in numbers:
        each = max((row.memory_mb for row in tried if row.memory_mb is not None), default=None)
        if room_mb is not None and each is not None and slots * each > room_mb:
            return end(f"{plural(slots, 'slot')} need {slots * each:,.0f} MB, and {room_mb:,.0f} MB may be taken")
        try:
            tried.append(measure(slots))
        except SlotError as error:
            if not tried:
                raise
            return end(f"{plural(slots, 'slot')} failed ({str(error).splitlines()[0]})")
        if interrupted():
            return end("the measurement was interrupted")
        if len(tried) > 1 and tried[-1].images_per_second < GAIN * tried[-2].images_per_second:
            return end(f"{plural(slots, 'slot')} gain less than {100 * (GAIN - 1):.0f} % more")
    return end("there are no cores or trials for more")


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

    On a GPU this opens a context in this process, which keeps some hundred MB until the process ends.
    """
    if machine.gpus:
        return [torch.cuda.mem_get_info(index)[0] / 2**20 for index in range(machine.gpus)]
    available = _read_mb(Path("/proc/meminfo"), "MemAvailable:")
    if available is None:  # not Linux
        return []
    try:
        limit, used = ((CGROUP / name).read_text(encoding="utf-8").strip() for name in ("memory.max", "memory.current"))
    except OSError:  # no version 2, or no container
        return [available]
    return [available] if limit == "max" else [min(available, (int(limit) - int(used)) / 2**20)]


def _taken_mb(machine: Machine, before: Sequence[float], *, pids: Sequence[int]) -> float | None:
    """What one of these processes took, while they live.

    On a GPU with its context: torch's allocator gives nothing back before its process ends. On a CPU its peak of
    resident memory, in which pages that slots share are counted for each.
    """
    if machine.gpus:
        after = free_mb(machine)
        return max(then - now for then, now in zip(before, after, strict=True)) / (len(pids) / machine.gpus)
    peaks = (_read_mb(Path(f"/proc/{pid}/status"), "VmHWM:") for pid in pids)
    return max(filter(None, peaks), default=None)


def _read_mb(file: Path, name: str) -> float | None:
    """A line of a file of the kernel, from kB; None where there is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)
