"""What each name of a space file may be: the type of its field, its bounds, and the check of a value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from search.candidate.architecture import FAMILIES
from search.candidate.fields import MOST_STAGES
from search.candidate.recipe import Recipe
from search.sentences import Check, Value, sentence


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The values that a field allows: a range, whose ends may be open or missing, or a list of options."""

    low: float | None = None
    high: float | None = None
    low_included: bool = True
    high_included: bool = True
    options: tuple[Value, ...] | None = None


def field_bounds(family: str, name: str) -> Bounds:
    """The bounds of one name of a family, such as `architecture.width.2`, from the type of its field."""
    hint = _field_types(family)[name]
    options = (False, True) if hint is bool else get_args(hint) if get_origin(hint) is Literal else None
    rules = FieldInfo.from_annotation(hint).metadata
    ends = {key: getattr(rule, key) for rule in rules for key in ("ge", "gt", "le", "lt") if hasattr(rule, key)}
    return Bounds(
        low=ends.get("ge", ends.get("gt")),
        high=ends.get("le", ends.get("lt")),
        low_included="gt" not in ends,
        high_included="lt" not in ends,
        options=options,
    )


@cache
def checks(family: str) -> dict[str, Check]:
    """Every name that a space of this family may use, with the check of its values."""
    return {name: _check(hint) for name, hint in _field_types(family).items()}


@cache
def _field_types(family: str) -> dict[str, Any]:
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


@cache
def _check(hint: Any) -> Check:
    adapter: TypeAdapter[Any] = TypeAdapter(hint)

    def check(value: Value) -> str | None:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError as error:
            return sentence(error.errors()[0])
        return None

    return check
