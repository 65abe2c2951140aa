"""A finite pool of candidates whose every training is known, so that a search among them takes no time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from search.benchmarking.curves import SCHEDULES, Table, length
from spaces import Space
from spaces.parameter import Choice, Fixed, Kind, Ordered, Value

Array = npt.NDArray[np.float64]

CHANCE = 0.1  # accuracy of a training that diverged, in each epoch that it did not finish


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Arrays over N candidates; a cost is in FLOPs of forward passes over all images that train."""

    stored: tuple[Mapping[str, Any], ...]  # what a study would keep of their values
    places: Array  # [N, D]: in the unit cube of the space, see `place`
    epoch_cost: Array  # [N]
    scores: Mapping[str, Array]  # by schedule [N, epochs]: validation accuracy

    @classmethod
    def of(cls, table: Table, space: Space) -> Self:
        """The candidates that were trained with every schedule, in the order of their numbers."""
        entries = [entry for _, entry in sorted(table.entries.items()) if entry.complete]
        scores = {
            schedule: [_padded(entry.curves[schedule].accuracy, length(schedule)) for entry in entries]
            for schedule in SCHEDULES
        }
        return cls(
            stored=tuple(space.stored(entry.values) for entry in entries),
            places=np.array([place(entry.values, space) for entry in entries]),
            epoch_cost=np.array([float(entry.flops * table.setting.images) for entry in entries]),
            scores={schedule: np.array(rows) for schedule, rows in scores.items()},
        )

    def __len__(self) -> int:
        return len(self.stored)

    def nearest(self, point: Sequence[float], among: Sequence[int]) -> int:
        """The candidate among these that is closest to a place of the unit cube."""
        squares = np.square(self.places[list(among)] - np.asarray(point)).sum(1)
        return among[int(squares.argmin())]


def place(values: Mapping[str, Value], space: Space) -> list[float]:
    """Coordinates [D] from 0 to 1: logarithms where the space has them; two options of a choice are 1 apart."""
    return [
        coordinate
        for parameter in space.parameters
        for coordinate in _coordinates(parameter.kind, values[parameter.name])
    ]


def _coordinates(kind: Kind, value: Value) -> list[float]:
    if isinstance(kind, Fixed):
        return []
    if isinstance(kind, Choice):
        return [math.sqrt(0.5) * (option == value) for option in kind.options]
    if isinstance(kind, Ordered):
        return [kind.position(value) / (len(kind.options) - 1)]
    ends = [math.log(number) if kind.log else number for number in (kind.low, kind.high, float(value))]
    return [(ends[2] - ends[0]) / (ends[1] - ends[0])]


def _padded(accuracy: Sequence[float], epochs: int) -> list[float]:
    return [*accuracy, *[CHANCE] * (epochs - len(accuracy))]
