"""The options of a request: a dataclass writes down once each option's type, default, text and limit."""

from __future__ import annotations

from dataclasses import MISSING, field, fields
from typing import TYPE_CHECKING, Any

from search.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


MOST = 10_000_000  # of whatever is counted: nobody means more, and far above it numbers overflow somewhere


def option(default: Any, help: str, *, least: float | None = None, most: float = MOST) -> Any:
    """A field that the command line offers as an option; a number needs a `least`, see `check_limits`."""
    return field(default=default, metadata={"help": help, "least": least, "most": most})


def argument(default: Any, help: str) -> Any:
    """A field that the command line takes without the name of an option; it must be given where default is `...`."""
    return field(default=MISSING if default is ... else default, metadata={"help": help, "positional": True})


def same_option(request: type[DataclassInstance], name: str) -> Any:
    """The option of that name of another request."""
    given = request.__dataclass_fields__[name]
    return field(default=given.default, metadata=given.metadata)


def check_limits(request: DataclassInstance) -> None:
    """Raises UsageError for a number that is too small, too large, or none, such as nan."""
    for option in fields(request):
        least, value = option.metadata.get("least"), getattr(request, option.name)
        if least is not None and isinstance(value, int | float) and not least <= value <= option.metadata["most"]:
            low, high, found = (f"{number:,}".removesuffix(".0") for number in (least, option.metadata["most"], value))
            raise UsageError(f"--{option.name.replace('_', '-')} must be from {low} to {high}, not {found}")
