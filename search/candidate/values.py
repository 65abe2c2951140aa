"""From flat values to a candidate, and back; what each name may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from search.candidate.architecture import FAMILIES, Architecture
from search.candidate.bounds import checks
from search.candidate.fields import STRICT
from search.candidate.recipe import Recipe
from search.errors import UserError
from search.sentences import Value, sentence

Values = Mapping[str, Value]
"""One draw from a space, flat, by dotted name: `architecture.width.2`, `recipe.learning_rate`."""

T = TypeVar("T")


class CandidateError(UserError):
    """Values that make no candidate: every rule that is broken, one a line."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Candidate:
    """Architecture and recipe: all that a trial needs to know but its seed and its length."""

    architecture: Architecture
    recipe: Recipe

    def as_dict(self) -> dict[str, Any]:
        """Nested plain data for a report, the family included."""
        architecture = {"family": self.architecture.family, **asdict(self.architecture)}
        return {"architecture": architecture, "recipe": asdict(self.recipe)}


def from_values(values: Values) -> Candidate:
    """The candidate that flat values describe; fields that are not named keep their defaults. Raises CandidateError.

    A field with an entry for each stage is given by entries (`width.1`, `width.2`, ...) or, where all are equal, by one
    value for all of them (`width`).
    """
    family = values.get("architecture.family")
    if family not in FAMILIES:
        raise CandidateError(f"architecture.family is {family!r}; known: {', '.join(FAMILIES)}")
    known = checks(str(family))
    problems = [f"{name} is not a field of family {family!r}" for name in values if name not in known]
    parts: dict[str, dict[str, Any]] = {"architecture": {}, "recipe": {}}
    for name in sorted(known.keys() & values.keys() - {"architecture.family"}):  # sorted: width.1 before width.2
        part, field, *index = name.split(".")
        if not index:
            parts[part][field] = values[name]
            continue
        entries = parts[part].setdefault(field, ())
        if not isinstance(entries, tuple):
            problems.append(f"{name} is given, and {part}.{field} for all of them too: leave one out")
            continue
        if int(index[0]) != len(entries) + 1:
            problems.append(f"{part}.{field}.{len(entries) + 1} is missing before {name}")
        parts[part][field] = (*entries, values[name])
    architecture = _made(FAMILIES[str(family)], "architecture", parts, problems)
    recipe = _made(Recipe, "recipe", parts, problems)
    if problems or architecture is None or recipe is None:
        raise CandidateError("\n".join(problems))
    return Candidate(architecture=architecture, recipe=recipe)


def values_of(candidate: Candidate, names: Iterable[str]) -> dict[str, Value]:
    """The flat values of a candidate for those of the names that it has; `width` only where all its widths agree."""
    found: dict[str, Value] = {}
    parts = candidate.as_dict()
    for name in names:
        part, field, *index = name.split(".")
        value = parts[part].get(field)
        if isinstance(value, (tuple, list)):
            entries = value[int(index[0]) - 1 : int(index[0])] if index else value
            value = entries[0] if len(set(entries)) == 1 else None
        if value is not None:
            found[name] = value
    return found


def _made(owner: type[T], part: str, parts: Mapping[str, dict[str, Any]], problems: list[str]) -> T | None:
    try:
        return owner(**parts[part])
    except ValidationError as error:
        problems += [_sentence(problem, part=part) for problem in error.errors()]
        return None


def _sentence(mistake: ErrorDetails, *, part: str) -> str:
    # pydantic counts the entries of a tuple from 0, space files from 1
    steps = [step + 1 if isinstance(step, int) else step for step in mistake["loc"]]
    actual = f", not {mistake['input']!r}" if steps else ""  # a rule for all fields together says their values itself
    return f"{'.'.join(map(str, (part, *steps)))}: {sentence(mistake)}{actual}"
