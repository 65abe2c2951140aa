"""A finite pool of candidates whose trainings are kept in a file, so that a search among them takes no time."""

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Self

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

import studies
from search.candidate import Candidate, from_values
from search.description import CIFAR10
from search.files import write_whole
from search.networks.count import cost
from search.planning.catalogue import load
from spaces import Space
from spaces.parameter import Value

FOLDER = Path(studies.__file__).parent / "results" / "strategies"
CURVES = FOLDER / "pool.json"
CANDIDATES = 64
IMAGES = 20_000  # for training: half-width networks learn them by heart as the whole ones do 50,000 in an hour
UNIT = 4_000  # images that the first known recipe trains on, or as many FLOPs of another network
LENGTHS = (1, 4, 16, 32, 128)  # units of a complete, annealed schedule
SCHEDULES = {**{f"{length}/A": length for length in LENGTHS}, "128/B": 128}
"""What each candidate is trained with, from nothing, in this order: length/seed, and the length."""
OF_RECIPES = {"256/A": 256, "256/B": 256}  # what a known recipe does with the time that a search would take
LOOKS = (1, 2, 4, 8, 16, 32, 64, 128)  # units after which a training is validated; those of 32 and more begin at 4
CHANCE = 0.1  # accuracy of a training that diverged
NARROW = (
    *("architecture.width.2", "architecture.width.3", "architecture.depth.3", "architecture.dropout"),
    *("recipe.learning_rate", "recipe.label_smoothing", "recipe.translate", "recipe.cutout"),
)
"""The parameters of a narrow space around a recipe."""
REDRAWN = 3  # of these, in a candidate near a recipe


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The result of one training; shorter where it diverged."""

    accuracy: tuple[float, ...]  # on the validation images at each look, as a fraction
    steps: int
    precision: str
    seconds: float  # of the processor, training and evaluation on one thread


@dataclass(frozen=True, kw_only=True)
class PoolEntry:
    """A candidate of the pool, with its curves by schedule."""

    number: int
    kind: str  # known, near, narrow or wide
    values: dict[str, Value]
    flops: int  # of one image's forward pass
    curves: dict[str, Curve] = dataclasses.field(default_factory=dict)

    @property
    def candidate(self) -> Candidate:
        return from_values(self.values)

    @property
    def unit_images(self) -> float:
        """Images that it trains on in one unit of cost."""
        return UNIT * flops_of(pool_space().baselines[0].values) / self.flops

    @property
    def schedules(self) -> dict[str, int]:
        return {**SCHEDULES, **(OF_RECIPES if self.kind == "known" else {})}


@dataclass(frozen=True, kw_only=True)
class CurveTable:
    """What the file holds."""

    split: str  # fingerprints
    space: str
    entries: tuple[PoolEntry, ...]  # in the order of their numbers

    @classmethod
    def load(cls, path: Path) -> Self:
        """The table that `save` wrote."""
        return TypeAdapter(cls).validate_json(path.read_bytes())

    def save(self, path: Path) -> None:
        """Write one line a candidate, whole or not at all."""
        lines = ",\n".join(json.dumps(dataclasses.asdict(entry)) for entry in self.entries)
        text = f'{{"split": "{self.split}", "space": "{self.space}", "entries": [\n{lines}\n]}}\n'
        write_whole(path, text.encode())


def epoch_of(length: int) -> int:
    """Units of an epoch of a schedule of so many: a batch that does not fit into an epoch is left out."""
    return 4 if length >= 32 else 1


def looks_of(length: int) -> list[int]:
    """Units after which a schedule of so many is validated, its end among them."""
    return [look for look in LOOKS if epoch_of(length) <= look < length] + [length]


@cache
def pool_space() -> Space:
    """The space of the pool: fast's at half its widths, and a little wider."""
    return load(str(FOLDER / "pool.yaml"))


def flops_of(values: Mapping[str, Value]) -> int:
    return cost(from_values(values).architecture, images=CIFAR10).flops


def entry_of(number: int) -> PoolEntry:
    """The candidate of this number, always the same, without curves.

    First the known recipes, then in turn one near a recipe, a draw of the narrow space, and a draw of all the space.
    """
    space, random = pool_space(), Random(number)  # noqa: S311 no secret is drawn
    if number < len(space.baselines):
        values = dict(space.baselines[number].values)
        return PoolEntry(number=number, kind="known", values=values, flops=flops_of(values))
    kind = ("near", "narrow", "wide")[number % 3]
    while True:
        values = space.sample(random)
        if kind != "wide":
            drawn = random.sample(NARROW, REDRAWN if kind == "near" else len(NARROW))
            values = {**random.choice(space.baselines).values, **{name: values[name] for name in drawn}}
        flops = flops_of(values)
        if not any(violation > 0 for violation in space.violations({"flops": flops}, side=CIFAR10.side).values()):
            return PoolEntry(number=number, kind=kind, values=values, flops=flops)
