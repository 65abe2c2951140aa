"""A pool of candidates with made-up curves."""

from __future__ import annotations

import numpy as np
import pytest

from search.benchmarking.candidate_pool import Curve, CurveTable, PoolEntry, entry_of, looks_of

SIZE = 34


def made(entry: PoolEntry, *, error: float) -> PoolEntry:
    """Errors fall with the length by a power law, from `error` after one unit; within a schedule they fall late."""
    for schedule, length in entry.schedules.items():
        end = error * length**-0.2
        looks = [end + (0.9 - end) * (1 - look / length) for look in looks_of(length)]
        entry.curves[schedule] = Curve(
            accuracy=tuple(1 - look for look in looks), steps=length, precision="float32", seconds=1.0
        )
    return entry


@pytest.fixture(scope="session")
def table() -> CurveTable:
    """The known recipes are equal; of the others the draws near them are better, the wide ones worse."""
    rng = np.random.default_rng(0)
    around = {"known": 0.5, "near": 0.4, "narrow": 0.5, "wide": 0.7}
    entries = [entry_of(number) for number in range(SIZE)]
    made_up = [made(entry, error=around[entry.kind] * rng.uniform(0.9, 1.1)) for entry in entries]
    return CurveTable(split="s", space="p", entries=tuple(made_up))
