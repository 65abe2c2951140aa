"""A finite pool of candidates whose every training is recorded in a file, so that a search among them takes no time."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

import studies
from search.files import write_whole
from spaces import Space
from spaces.parameter import Choice, Fixed, Ordered, Value

Array = npt.NDArray[np.float64]

FOLDER = Path(studies.__file__).parent / "results" / "strategies"
CURVES = FOLDER / "curves.json"
SPACE = FOLDER / "small.yaml"
LENGTHS = (2, 4, 8)  # epochs of a complete, annealed schedule
SCHEDULES = {**{f"{length}/A": length for length in LENGTHS}, "8/B": 8}
"""What each candidate is trained with, in this order: length/seed, and the length."""
CHANCE = 0.1  # accuracy of a training that diverged, in each epoch that it did not finish


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The result of one training; shorter than its schedule where it diverged."""

    accuracy: tuple[float, ...]  # on the validation images, after each epoch, as a fraction
    loss: tuple[float, ...]  # on the training images of each epoch
    steps: int
    seconds: float  # training and evaluation, on one core beside others


@dataclass(frozen=True)
class PoolSetting:
    """What all curves of a file have in common."""

    images: int  # for training
    validation: int  # images
    split: str  # fingerprint
    space: str  # fingerprint
    precision: str


@dataclass(frozen=True, kw_only=True)
class PoolEntry:
    """A candidate of the pool, with its curves by schedule."""

    candidate: int  # number
    values: dict[str, Value]
    flops: int  # of one image's forward pass
    curves: dict[str, Curve] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CurveTable:
    """What a file holds."""

    setting: PoolSetting
    candidates: tuple[PoolEntry, ...]  # in the order of their numbers

    @classmethod
    def load(cls, path: Path) -> Self:
        """The table that `save` wrote."""
        return TypeAdapter(cls).validate_json(path.read_bytes())

    def save(self, path: Path) -> None:
        """Write one line a candidate, whole or not at all."""
        lines = ",\n".join(json.dumps(dataclasses.asdict(candidate)) for candidate in self.candidates)
        text = f'{{"setting": {json.dumps(dataclasses.asdict(self.setting))}, "candidates": [\n{lines}\n]}}\n'
        write_whole(path, text.encode())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CandidatePool:
    """Arrays over N candidates; a cost is in FLOPs of forward passes over all training images."""

    stored: Sequence[Mapping[str, Any]]  # the values as a study keeps them
    places: Array  # [N, D]: in the unit cube of the space, see `place`
    epoch_cost: Array  # [N]
    scores: Mapping[str, Array]  # by schedule [N, epochs]: validation accuracy

    @classmethod
    def of(cls, table: CurveTable, space: Space) -> Self:
        """The candidates that were trained with every schedule, in the order of their numbers."""
        complete = [candidate for candidate in table.candidates if candidate.curves.keys() == SCHEDULES.keys()]
        scores = {}
        for schedule, epochs in SCHEDULES.items():
            curves = [candidate.curves[schedule].accuracy for candidate in complete]
            scores[schedule] = np.array([curve + (CHANCE,) * (epochs - len(curve)) for curve in curves])
        return cls(
            stored=[space.stored(candidate.values) for candidate in complete],
            places=np.array([place(candidate.values, space) for candidate in complete]),
            epoch_cost=np.array([float(candidate.flops * table.setting.images) for candidate in complete]),
            scores=scores,
        )

    def nearest(self, point: Sequence[float], among: Sequence[int]) -> int:
        """The candidate among these that is closest to a place of the unit cube."""
        squares = np.square(self.places[list(among)] - np.asarray(point)).sum(1)
        return among[int(squares.argmin())]


def place(values: Mapping[str, Value], space: Space) -> list[float]:
    """Coordinates [D] from 0 to 1: logarithms where the space has them; two options of a choice are 1 apart."""
    coordinates: list[float] = []
    for parameter in space.parameters:
        kind, value = parameter.kind, values[parameter.name]
        if isinstance(kind, Choice):
            coordinates += [math.sqrt(0.5) * (option == value) for option in kind.options]
        elif isinstance(kind, Ordered):
            coordinates.append(kind.position(value) / (len(kind.options) - 1))
        elif not isinstance(kind, Fixed):
            low, high, at = [math.log(number) if kind.log else number for number in (kind.low, kind.high, float(value))]
            coordinates.append((at - low) / (high - low))
    return coordinates
