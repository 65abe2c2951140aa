"""The learning curves of a pool of candidates, as they are kept in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from search.files import write_whole
from spaces.parameter import Value

FOLDER = Path(__file__).parent
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
class Setting:
    """What all curves of a file have in common."""

    images: int  # that train
    validation: int  # images
    split: str  # fingerprint
    space: str  # likewise
    precision: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A candidate of the pool, with its curves by schedule."""

    values: Mapping[str, Value]
    flops: int  # of one image's forward pass
    curves: Mapping[str, Curve] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return all(schedule in self.curves for schedule in SCHEDULES)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The pool: its candidates by number."""

    setting: Setting
    entries: Mapping[int, Entry]

    def save(self, path: Path) -> None:
        """Write one line a candidate, whole or not at all."""
        lines = [json.dumps({"candidate": number, **asdict(self.entries[number])}) for number in sorted(self.entries)]
        text = f'{{"setting": {json.dumps(asdict(self.setting))}, "candidates": [\n' + ",\n".join(lines) + "\n]}\n"
        write_whole(path, text.encode())


def load(path: Path) -> Table:
    """The table that `Table.save` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Table(
        setting=Setting(**found["setting"]),
        entries={line["candidate"]: _entry(line) for line in found["candidates"]},
    )


def _entry(line: Mapping[str, Any]) -> Entry:
    curves = {
        schedule: Curve(
            accuracy=tuple(curve["accuracy"]), loss=tuple(curve["loss"]), steps=curve["steps"], seconds=curve["seconds"]
        )
        for schedule, curve in line["curves"].items()
    }
    return Entry(values=line["values"], flops=line["flops"], curves=curves)
