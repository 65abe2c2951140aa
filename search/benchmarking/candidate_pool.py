"""A finite pool of candidates whose every training is known, so that a search among them takes no time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from search.benchmarking.curves import SCHEDULES, CurveTable, length
from spaces import Space
from spaces.parameter import Choice, Fixed, Kind, Ordered, Value

Array = npt.NDArray[np.float64]

CHANCE = 0.1  # accuracy of a training that diverged, in each epoch that it did not finish


@dataclass(frozen=True, kw_only=True, eq=False)
class CandidatePool:
    """Arrays over N candidates; a cost is in FLOPs of forward passes over all images that train."""

    stored: tuple[Mapping[str, Any], ...]  # what a study would keep of their values
    places: Array  # [N, D]: in the unit cube of the space, see `place`
    epoch_cost: Array  # [N]
    scores: Mapping[str, Array]  # by schedule [N, epochs]: validation accuracy

    @classmethod
    def of(cls, table: CurveTable, space: Space) -> Self:
        """The candidates that were trained with every schedule, in the order of their numbers."""
        whole = [candidate for candidate in table.candidates if candidate.complete]
        scores: dict[str, Array] = {}
        for schedule in SCHEDULES:
            scores[schedule] = np.full((len(whole), length(schedule)), CHANCE)
            for row, candidate in zip(scores[schedule], whole, strict=True):
                accuracy = candidate.curves[schedule].accuracy
                row[: len(accuracy)] = accuracy
        return cls(
            stored=tuple(space.stored(candidate.values) for candidate in whole),
            places=np.array([place(candidate.values, space) for candidate in whole]),
            epoch_cost=np.array([float(candidate.flops * table.setting.images) for candidate in whole]),
            scores=scores,
        )

    def __len__(self) -> int:
        return len(self.stored)

    def nearest(self, point: Sequence[float], among: Sequence[int]) -> int:
        """The candidate among these that is closest to a place of the unit cube."""
        squares = np.square(self.places[list(among)] - np.asarray(point)).sum(1)
        return among[int(squares.argmin())]


def place(values: Mapping[str, Value], space: Space) -> list[float]:
    """Coordinates [D] from 0 to 1: logarithms where the space has them; two options of a choice are 1 apart."""
    each = (_coordinates(parameter.kind, values[parameter.name]) for parameter in space.parameters)
    return [coordinate for coordinates in each for coordinate in coordinates]


def _coordinates(kind: Kind, value: Value) -> list[float]:
    if isinstance(kind, Fixed):
        return []
    if isinstance(kind, Choice):
        return [math.sqrt(0.5) * (option == value) for option in kind.options]
    if isinstance(kind, Ordered):
        return [kind.position(value) / (len(kind.options) - 1)]
    low, high, middle = [math.log(number) if kind.log else number for number in (kind.low, kind.high, float(value))]
    return [(middle - low) / (high - low)]
