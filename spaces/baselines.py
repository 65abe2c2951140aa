"""PublishedRecipe recipes with what they reported, to be trained again under one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field

from search.sentences import Check, Value, nearest
from spaces.document import Document, dotted
from spaces.loader import GROUPS
from spaces.shape import Shape, shaped
from spaces.space import Problem, SpaceError

FILE = "baselines.yaml"

# What the notebooks share and the recipe's own defaults do not: torch's plain form, one constant learning rate, and
# neither label smoothing nor averaged weights.
PLAIN: Mapping[str, Value] = {
    "recipe.decoupled": False,
    "recipe.weight_decay": 0.0,
    "recipe.schedule": "constant",
    "recipe.warmup": 0.0,
    "recipe.label_smoothing": 0.0,
    "recipe.averaging": False,
}


@dataclass(frozen=True, kw_only=True)
class PublishedRecipe:
    """One published recipe."""

    name: str
    title: str
    source: str
    reported: float  # test accuracy, percent
    chosen_by: str  # what its authors chose the reported weights by
    epochs: int
    parameters: int | None  # trained weights, where they are published
    values: Mapping[str, Value]  # flat; what is not named keeps the candidate's default


class _PublishedShape(Shape):
    title: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    reported: Annotated[float, Field(gt=0, lt=100)]
    chosen_by: Annotated[str, Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1)]
    parameters: Annotated[int, Field(ge=1)] | None = None
    family: str
    architecture: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)


def load_baselines(*, families: Mapping[str, Mapping[str, Check]]) -> dict[str, PublishedRecipe]:
    """The shipped ones, by name, in the order of their file. Raises SpaceError."""
    return parse_baselines((files("spaces") / FILE).read_text(encoding="utf-8"), source=FILE, families=families)


def find_baseline(name: str, *, families: Mapping[str, Mapping[str, Check]]) -> PublishedRecipe:
    """The shipped one of that name. Raises SpaceError with the known names."""
    known = load_baselines(families=families)
    if name not in known:
        raise SpaceError([Problem(dotted((name,)), 0, "is not a known baseline", hint=nearest(name, known))])
    return known[name]


def parse_baselines(
    text: str, *, source: str, families: Mapping[str, Mapping[str, Check]]
) -> dict[str, PublishedRecipe]:
    """Those that a text describes. Raises SpaceError with every mistake and its line."""
    document = Document(text, file=source)
    found = {name: _published(document, name, families) for name in document.data}
    document.finish()
    return {name: published for name, published in found.items() if published is not None}


def _published(document: Document, name: str, families: Mapping[str, Mapping[str, Check]]) -> PublishedRecipe | None:
    shape = shaped(document, _PublishedShape, (name,))
    if shape is None:
        return None
    if shape.family not in families:
        document.add((name, "family"), "family is not a known one", shape.family, nearest(shape.family, families))
        return None
    checks = families[shape.family]
    values: dict[str, Value] = {"architecture.family": shape.family, **PLAIN}
    for place in (leaf for group in GROUPS for leaf in document.leaves((name, group))):
        value, key = document.at(place), ".".join(map(str, place[1:]))
        if key not in checks:
            rule = f"{dotted(place)} is not a name of family {shape.family}"
            document.add(place, rule, hint=nearest(key, checks))
        elif value is not None and (complaint := checks[key](value)):
            document.add(place, f"{dotted(place)}: {complaint}", value)
        values[key] = value
    fields = shape.model_dump(exclude={"family", *GROUPS})
    return PublishedRecipe(name=name, values=values, **fields)
