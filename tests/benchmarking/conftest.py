"""A pool of candidates with made-up curves."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest

from search.benchmarking.candidate_pool import CandidatePool
from search.benchmarking.curves import (
    SCHEDULES,
    SPACE,
    Curve,
    CurveTable,
    RecordedCandidate,
    RecordedSetting,
    length,
)
from search.planning.catalogue import load
from spaces import Space

SIZE = 24


@pytest.fixture(scope="session")
def space() -> Space:
    return load(str(SPACE))


@pytest.fixture(scope="session")
def curves(space: Space) -> CurveTable:
    rng = np.random.default_rng(0)
    candidates = []
    for number in range(SIZE):
        values = space.sample(Random(number))
        ends = {schedule: 0.5 + 0.01 * length(schedule) + 0.1 * rng.random() for schedule in SCHEDULES}
        made = {schedule: curve([end * (1 + epoch) / length(schedule) for epoch in range(length(schedule))])
                for schedule, end in ends.items()}  # fmt: skip
        flops = int(rng.integers(5, 20))
        candidates.append(RecordedCandidate(candidate=number, values=values, flops=flops, curves=made))
    setting = RecordedSetting(images=100, validation=5000, split="", space="", precision="float32")
    return CurveTable(setting=setting, candidates=tuple(candidates))


def curve(accuracy: Sequence[float]) -> Curve:
    return Curve(accuracy=tuple(accuracy), loss=(1.0,) * len(accuracy), steps=len(accuracy), seconds=1.0)


@pytest.fixture(scope="session")
def pool(curves: CurveTable, space: Space) -> CandidatePool:
    return CandidatePool.of(curves, space)
