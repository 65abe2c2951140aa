"""The options of a request: a dataclass writes down once each option's type, default, text and limit."""

from __future__ import annotations

from dataclasses import MISSING, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from search.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


MOST = 10_000_000  # of whatever is counted: nobody means more, and far above it numbers overflow somewhere


def option(default: Any, help: str, *, least: float | None = None, most: float = MOST) -> Any:
    """A field offered as an option, given always where default is `...`; a number needs a `least`: `check_fields`."""
    return field(default=MISSING if default is ... else default, metadata={"help": help, "least": least, "most": most})


def argument(default: Any, help: str) -> Any:
    """A field that the command line takes without the name of an option; it must be given where default is `...`."""
    return field(default=MISSING if default is ... else default, metadata={"help": help, "positional": True})


def same_option(request: type[DataclassInstance], name: str) -> Any:
    """The option of that name of another request."""
    given = request.__dataclass_fields__[name]
    return field(default=given.default, metadata=given.metadata)


def types_of(request: type[DataclassInstance]) -> dict[str, Any]:
    """The type of each field."""
    return get_type_hints(request, localns={"Mode": str})  # the modes of torch.compile, whose module imports torch


def check_fields(request: DataclassInstance) -> None:
    """Make a path of text. Raises UsageError for another type, for no text, and for a number outside its limits."""
    types = types_of(type(request))
    for option in fields(request):
        name, value, wanted = option.name, getattr(request, option.name), types[option.name]
        if wanted is Path and isinstance(value, str) and value:
            object.__setattr__(request, name, Path(value))
        elif value is not option.default and (not _fits(value, wanted) or (value == "" and option.metadata)):
            example = f", such as {option.default}" if option.default not in (None, MISSING, ()) else ""
            raise UsageError(f"{name} of {type(request).__name__} must be {option.type}{example}, not {value!r}")
        least = option.metadata.get("least")
        if least is not None and isinstance(value, Real) and not least <= value <= option.metadata["most"]:
            low, high, found = (f"{number:,}".removesuffix(".0") for number in (least, option.metadata["most"], value))
            raise UsageError(f"--{name.replace('_', '-')} must be from {low} to {high}, not {found}")


def _fits(value: object, wanted: Any) -> bool:
    parts = get_args(wanted)
    if get_origin(wanted) is tuple:
        return isinstance(value, tuple | list) and all(_fits(each, parts[0]) for each in value)
    if get_origin(wanted) is Literal:
        return value in parts
    if parts:
        return any(_fits(value, part) for part in parts)
    known = {int: Integral, float: Real}.get(wanted, wanted)  # with NumPy's
    return isinstance(value, known) and (wanted is bool or not isinstance(value, bool))
