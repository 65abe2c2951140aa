"""How many slots at a time give the most trials per minute, by measurement."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from search.container import Container
from search.slots.job import Condition, Job, SlotSettings
from search.slots.machine import Machine
from search.slots.pool import Pool
from search.slots.slot_state import SlotError
from search.text import plural

Settings = Callable[[Machine], Sequence[SlotSettings]]  # those of a machine's slots

GAIN = 1.10  # at least, for a step up: with more trials at a time the sampler knows less of each that it draws
ROOM = 0.90  # share of the free memory that slots may take: trials may be larger than the one that was measured


@dataclass(frozen=True)
class MeasuredCount:
    """The speed of one number of slots."""

    slots: int
    images_per_second: float  # of all together
    memory_mb: float | None  # peak of one of them on its device; None where nothing tells


@dataclass(frozen=True)
class SlotCount:
    """The numbers of slots that were tried, the fewest first, and why there were no more."""

    tried: tuple[MeasuredCount, ...]
    end: str

    @property
    def best(self) -> MeasuredCount:
        """The last one that was worth its step."""
        before, last = (self.tried[0], *self.tried)[-2:]
        return last if last.images_per_second >= GAIN * before.images_per_second else before

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each, and one for the choice."""
        first, lines = self.tried[0], []
        one = "one slot" if first.slots == 1 else f"{first.slots} slots"
        for row in self.tried:
            memory = "" if row.memory_mb is None else f", {row.memory_mb:,.0f} MB each"
            gain = "" if row is first else f", {row.images_per_second / first.images_per_second:.2f} x {one}"
            lines.append(f"{plural(row.slots, 'slot')}: {row.images_per_second:,.0f} images/s{memory}{gain}")
        return (*lines, f"{plural(self.best.slots, 'slot')} at a time: {self.end}")


def find_slot_count(
    machine: Machine, job: Job, *, settings: Settings, most: int, log: Path, work: str, interrupted: Condition
) -> SlotCount:
    """Measures the job on 1, 2, 4, ... fresh slots of each device, `most` of them at most. Raises SlotError."""
    free = free_mb(machine)

    def measure(slots: int) -> MeasuredCount:
        with Pool(settings(machine.with_slots(slots)), log=log, work=work) as pool:
            speed = pool.measure(job, interrupted=interrupted)
            if len(pool) < slots:
                raise SlotError("memory ran out")
            return MeasuredCount(slots, speed, _taken_mb(machine, free, pids=pool.pids))

    room_mb = ROOM * min(free) * max(1, machine.gpus) if free else None
    return try_counts(steps(machine, most=most), measure=measure, room_mb=room_mb, interrupted=interrupted)


def try_counts(
    numbers: Iterable[int], *, measure: Callable[[int], MeasuredCount], room_mb: float | None, interrupted: Condition
) -> SlotCount:
    """Tries numbers of slots while each gains enough and fits into `room_mb`. Raises SlotError if the first fails."""
    tried: list[MeasuredCount] = []
    for slots in numbers:
        count, needed = plural(slots, "slot"), slots * max((row.memory_mb or 0 for row in tried), default=0)
        if room_mb is not None and needed > room_mb:  # None: unknown
            return SlotCount(tuple(tried), f"{count} need {needed:,.0f} MB, and {room_mb:,.0f} MB may be taken")
        try:
            tried.append(measure(slots))
        except SlotError as error:
            if not tried:
                raise
            return SlotCount(tuple(tried), f"{count} failed ({str(error).splitlines()[0]})")
        if interrupted():
            return SlotCount(tuple(tried), "the measurement was interrupted")
        if len(tried) > 1 and tried[-1].images_per_second < GAIN * tried[-2].images_per_second:
            return SlotCount(tuple(tried), f"{count} gain less than {100 * (GAIN - 1):.0f} % more")
    return SlotCount(tuple(tried), "there are no cores or trials for more")


def steps(machine: Machine, *, most: int) -> Iterator[int]:
    """Numbers of slots, each at least twice the one before, none above `most` but the first."""
    # On GPUs as many on each; on a CPU such that their threads share the cores evenly, a core for each at least.
    slots: int | None = max(1, machine.gpus)
    while slots:
        yield slots
        larger = range(2 * slots, most + 1)
        slots = next((number for number in larger if machine.gpus or machine.cores % number == 0), None)


def free_mb(machine: Machine) -> list[float]:
    """Free memory of each GPU, or of this machine for its CPU; empty where nothing tells."""
    if machine.gpus:  # this opens a context in this process, which keeps some hundred MB until the process ends
        return [torch.cuda.mem_get_info(index)[0] / 2**20 for index in range(machine.gpus)]
    available = _read_mb(Path("/proc/meminfo"), "MemAvailable:")  # None where this is not Linux
    return [] if available is None else [min(available, Container().memory()[1] / 2**20)]


def _taken_mb(machine: Machine, before: Sequence[float], *, pids: Sequence[int]) -> float | None:
    """Memory that one of these processes took; measured while they live."""
    if machine.gpus:  # with its context: torch's allocator gives nothing back before its process ends
        after = free_mb(machine)
        return max(then - now for then, now in zip(before, after, strict=True)) / (len(pids) / machine.gpus)
    # The peak of resident memory, in which pages that slots share are counted for each.
    peaks = (_read_mb(Path(f"/proc/{pid}/status"), "VmHWM:") for pid in pids)
    return max(filter(None, peaks), default=None)


def _read_mb(file: Path, name: str) -> float | None:
    """A line of a file of the kernel, from kB; None where there is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)
