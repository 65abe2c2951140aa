"""A pool of candidates with made-up curves."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from search.benchmarking.candidate_pool import (
    SCHEDULES,
    SPACE,
    CandidatePool,
    Curve,
    CurveTable,
    PoolEntry,
    PoolSetting,
)
from search.planning.catalogue import load
from spaces import Space

SIZE = 24


@pytest.fixture(scope="session")
def space() -> Space:
    return load(str(SPACE))


@pytest.fixture(scope="session")
def curves(space: Space) -> CurveTable:
    """Straight lines to a last accuracy that grows with the length of the training."""
    rng = np.random.default_rng(0)
    entries = []
    for number in range(SIZE):
        made = {}
        for schedule, epochs in SCHEDULES.items():
            accuracy = np.linspace(0, 0.5 + 0.01 * epochs + 0.1 * rng.random(), epochs + 1)[1:]
            made[schedule] = Curve(accuracy=tuple(accuracy.tolist()), loss=(1.0,) * epochs, steps=epochs, seconds=1.0)
        values, flops = space.sample(Random(number)), int(rng.integers(5, 20))
        entries.append(PoolEntry(candidate=number, values=values, flops=flops, curves=made))
    return CurveTable(setting=PoolSetting(100, 5000, "", "", "float32"), candidates=tuple(entries))


@pytest.fixture(scope="session")
def pool(curves: CurveTable, space: Space) -> CandidatePool:
    return CandidatePool.of(curves, space)
