"""The learning curves of a pool of candidates, as they are kept in a file."""

from __future__ import annotations

import json
from dataclasses import asdict, field
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

import studies
from search.files import write_whole
from spaces.parameter import Value

FOLDER = Path(studies.__file__).parent / "results" / "strategies"
CURVES = FOLDER / "curves.json"
SPACE = FOLDER / "small.yaml"

LENGTHS = (2, 4, 8)  # epochs of a complete, annealed schedule
SCHEDULES = (*(f"{length}/A" for length in LENGTHS), "8/B")
"""What each candidate is trained with, in this order: length/seed."""


def length(schedule: str) -> int:
    """Epochs of a schedule by its name."""
    return int(schedule.partition("/")[0])


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one training gave; shorter than its schedule where it diverged."""

    accuracy: tuple[float, ...]  # on the validation images, after each epoch, as a fraction
    loss: tuple[float, ...]  # on the training images of each epoch
    steps: int
    seconds: float  # training and evaluation, on one core beside others


@dataclass(frozen=True, kw_only=True)
class RecordedSetting:
    """What all curves of a file have in common."""

    images: int  # that train
    validation: int  # images
    split: str  # fingerprint
    space: str  # likewise
    precision: str


@dataclass(frozen=True, kw_only=True)
class RecordedCandidate:
    """A candidate of the pool, with its curves by schedule."""

    candidate: int  # number
    values: dict[str, Value]
    flops: int  # of one image's forward pass
    curves: dict[str, Curve] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return all(schedule in self.curves for schedule in SCHEDULES)


@dataclass(frozen=True, kw_only=True)
class CurveTable:
    """The pool, in the order of the candidates' numbers."""

    setting: RecordedSetting
    candidates: tuple[RecordedCandidate, ...]

    def save(self, path: Path) -> None:
        """Write one line a candidate, whole or not at all."""
        lines = ",\n".join(json.dumps(asdict(candidate)) for candidate in self.candidates)
        text = f'{{"setting": {json.dumps(asdict(self.setting))}, "candidates": [\n{lines}\n]}}\n'
        write_whole(path, text.encode())


def load(path: Path) -> CurveTable:
    """The table that `CurveTable.save` wrote."""
    return TypeAdapter(CurveTable).validate_json(path.read_bytes())
