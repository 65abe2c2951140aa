"""The options of a request: a dataclass writes down once each option's type, default, text and limit."""

from __future__ import annotations

from dataclasses import MISSING, field, fields
from typing import TYPE_CHECKING, Any

from search.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def option(default: Any, help: str, *, least: int | None = None) -> Any:
    """A field that the command line offers as an option; a number below `least` is refused by `check_limits`."""
    return field(default=default, metadata={"help": help, "least": least})


def argument(default: Any, help: str) -> Any:
    """A field that the command line takes without the name of an option; it must be given where default is `...`."""
    return field(default=MISSING if default is ... else default, metadata={"help": help, "positional": True})


def same_option(request: type[DataclassInstance], name: str) -> Any:
    """The option of that name of another request."""
    given = request.__dataclass_fields__[name]
    return field(default=given.default, metadata=given.metadata)


def check_limits(request: DataclassInstance) -> None:
    """Raises UsageError for a number that is too small."""
    for option in fields(request):
        least, value = option.metadata.get("least"), getattr(request, option.name)
        if least is not None and value is not None and value < least:
            raise UsageError(f"--{option.name.replace('_', '-')} must be at least {least}, not {value:g}")
