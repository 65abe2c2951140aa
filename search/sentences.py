"""What is wrong with a value or a name, in the same sentences for space files and candidates."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails  # --help need not wait for it

Value = str | int | float | bool

Check = Callable[[Value], str | None]
"""Says in such a sentence what is wrong with a value, or None."""

MOST_LISTED = 12  # names that a hint lists in full

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
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "value_error": "{error}",
}


def sentence(mistake: ErrorDetails) -> str:
    """The broken rule, to which the caller adds the name, the actual value and the next step."""
    context: dict[str, Any] = mistake.get("ctx", {})
    if mistake["type"] == "literal_error":
        quoted = re.findall(r"'[^']*'|[^', ]+", str(context["expected"]))  # 'none', 'random' or 3
        *others, last = [option.strip("'") for option in quoted if option != "or"]
        return f"must be {', '.join(others)} or {last}" if others else f"must be {last}"
    return SENTENCES.get(mistake["type"], "must be of another type").format_map(context)


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint for an unknown name: the nearest known one, and all of them if they are few."""
    names = [*known]
    entry = re.fullmatch(r"(.*\D)\.\d+", name)
    if entry and entry[1] in names and f"{entry[1]}.1" not in names:
        return f"there is one {entry[1]} for the whole network"
    close = difflib.get_close_matches(name, names, n=8) if len(name) <= 100 else []
    # Of equally near ones the first: width.1, where difflib alone would say width.8.
    near = sorted(close, key=lambda match: (-difflib.SequenceMatcher(None, match, name).ratio(), match))[:1]
    hints = [f"nearest: {near[0]}"] if near else []
    if len(names) <= MOST_LISTED or not near:
        hints.append("known: " + ", ".join(names[:MOST_LISTED]) + ", ..." * (len(names) > MOST_LISTED))
    return "; ".join(hints)
