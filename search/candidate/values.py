"""From flat values to a candidate, and back; what each name of a space file may be."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from functools import cache, partial
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from search.candidate.architecture import FAMILIES, Architecture
from search.candidate.fields import MOST_STAGES, STRICT
from search.candidate.recipe import Recipe
from search.errors import UserError
from search.sentences import Check, Value, sentence


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


def from_values(values: Mapping[str, Value]) -> Candidate:
    """The candidate of flat values (`recipe.flip`); what is not named keeps its default. Raises CandidateError.

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
        elif isinstance(entries := parts[part].get(field, ()), tuple):
            if int(index[0]) != len(entries) + 1:
                problems.append(f"{part}.{field}.{len(entries) + 1} is missing before {name}")
            parts[part][field] = (*entries, values[name])
        else:
            problems.append(f"{name} is given, and {part}.{field} for all of them too: leave one out")
    made: dict[str, Any] = {}
    for part, owner in (("architecture", FAMILIES[str(family)]), ("recipe", Recipe)):
        try:
            made[part] = owner(**parts[part])
        except ValidationError as error:
            for mistake in error.errors():  # pydantic counts the entries of a tuple from 0, space files from 1
                steps = [str(step + 1 if isinstance(step, int) else step) for step in mistake["loc"]]
                actual = f", not {mistake['input']!r}" if steps else ""  # a rule for all fields says their values
                problems.append(f"{'.'.join((part, *steps))}: {sentence(mistake)}{actual}")
    if problems:
        raise CandidateError("\n".join(problems))
    return Candidate(**made)


def values_of(candidate: Candidate, names: Iterable[str]) -> dict[str, Value]:
    """The flat values of a candidate for those of the names that it has; `width` only where all its widths agree."""
    values: dict[str, Value] = {}
    parts = candidate.as_dict()
    for name in names:
        part, field, *index = name.split(".")
        value = parts[part].get(field)
        if isinstance(value, (tuple, list)):
            entries = value[int(index[0]) - 1 : int(index[0])] if index else value
            value = entries[0] if len(set(entries)) == 1 else None
        if value is not None:
            values[name] = value
    return values


class Bounds(NamedTuple):
    """The values that a field allows: a range, whose ends may be open or missing, or a list of options."""

    low: float | None = None
    high: float | None = None
    low_included: bool = True
    high_included: bool = True
    options: tuple[Value, ...] | None = None


def field_bounds(family: str, name: str) -> Bounds:
    """The bounds of one name of a family, such as `architecture.width.2`, from the type of its field."""
    hint = field_types(family)[name]
    rules = FieldInfo.from_annotation(hint).metadata
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    options = (False, True) if hint is bool else get_args(hint) if get_origin(hint) is Literal else None
    ends = {key: getattr(rule, key) for rule in rules for key in ("ge", "gt", "le", "lt") if hasattr(rule, key)}
    low, high = ends.get("ge", ends.get("gt")), ends.get("le", ends.get("lt"))
    return Bounds(low=low, high=high, low_included="gt" not in ends, high_included="lt" not in ends, options=options)


@cache
def checks(family: str) -> dict[str, Check]:
    """Every name that a space of this family may use, with the check of its values."""
    return {name: partial(_complaint, _adapter(hint)) for name, hint in field_types(family).items()}


@cache
def field_types(family: str) -> dict[str, Any]:
    """The type of every name; of one entry, where a field has one for each stage."""
    types: dict[str, Any] = {"architecture.family": Literal[family]}
    for part, owner in (("architecture", FAMILIES[family]), ("recipe", Recipe)):
        hints = get_type_hints(owner, include_extras=True)
        for field in fields(owner):
            name, hint = f"{part}.{field.name}", hints[field.name]
            inner = get_args(hint)[0] if get_origin(hint) is Annotated else None
            if get_origin(inner) is tuple:
                hint = get_args(inner)[0]
                types |= {f"{name}.{index}": hint for index in range(1, MOST_STAGES + 1)}
            types[name] = hint
    return types


_adapter = cache(TypeAdapter)


def _complaint(adapter: TypeAdapter[Any], value: Value) -> str | None:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        return sentence(error.errors()[0])
    return None
