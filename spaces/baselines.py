"""Published recipes with the accuracy that was reported for them, to be trained again under one protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML

from search.sentences import Value, nearest
from spaces.space import Problem, SpaceError

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
    parameters: int | None = None  # trained weights, where they are published
    values: Mapping[str, Value]  # flat; what is not named keeps the candidate's default


def load_baselines() -> dict[str, PublishedRecipe]:
    """The shipped recipes by name, in the order of their file."""
    recipes = YAML(typ="safe", pure=True).load((files("spaces") / "baselines.yaml").read_text(encoding="utf-8"))
    return {name: _published(name, **entries) for name, entries in recipes.items()}


def find_baseline(name: str) -> PublishedRecipe:
    """The shipped recipe of that name. Raises SpaceError with the known names."""
    known = load_baselines()
    if name not in known:
        raise SpaceError([Problem(name, 0, "is not a known baseline", hint=nearest(name, known))])
    return known[name]


def _published(name: str, *, family: str, architecture: Any, recipe: Any, **fields: Any) -> PublishedRecipe:
    given = {**_flat("architecture", architecture), **_flat("recipe", recipe)}
    return PublishedRecipe(name=name, values={"architecture.family": family, **PLAIN, **given}, **fields)


def _flat(name: str, entry: Any) -> dict[str, Value]:
    if not isinstance(entry, Mapping):
        return {name: entry}
    return {full: value for part in entry for full, value in _flat(f"{name}.{part}", entry[part]).items()}
