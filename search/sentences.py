"""What pydantic finds wrong with a value, in sentences of our own: the same for space files and candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails  # --help need not wait for it

Value = str | int | float | bool

Check = Callable[[Value], str | None]
"""Says in such a sentence what is wrong with a value, or None."""

MAPPING = "must be a mapping of names to values"
INTEGER = "must be an integer, without a point or an exponent"

SENTENCES: Mapping[str, str] = {  # by pydantic's type of an error, with the names of its context
    "bool_type": "must be true or false",
    "dict_type": MAPPING,
    "extra_forbidden": "is not a name here",
    "finite_number": "must be a finite number",
    "float_type": "must be a number, without quotes or a unit",
    "greater_than": "must be above {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "int_from_float": INTEGER,
    "int_type": INTEGER,
    "less_than": "must be below {lt:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
    "list_type": "must be a list in [ ]",
    "missing": "is missing",
    "model_type": MAPPING,
    "string_too_short": "must not be empty",
    "string_type": "must be text (in quotes, if it looks like a number)",
    "value_error": "{error}",
}


def sentence(mistake: ErrorDetails) -> str:
    """The broken rule, to which the caller adds the name, the actual value and the next step."""
    context: dict[str, Any] = mistake.get("ctx", {})
    if mistake["type"] == "literal_error":
        *others, last = str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
        return f"must be {', '.join(others)} or {last}" if others else f"must be {last}"
    return SENTENCES.get(mistake["type"], "is not of the type that stands here").format_map(context)
