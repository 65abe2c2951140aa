"""Reads the options whose text is no plain number, name or path. Each function raises UsageError."""

import re
from typing import TYPE_CHECKING, Literal, cast, get_args

from search.deciding.request import EXAMPLE, Claim
from search.errors import UsageError

if TYPE_CHECKING:
    from search.training.compiling import Mode


def parse_seconds(text: str) -> float:
    """90s, 30m or 2h in seconds; a number alone is seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None:
        raise UsageError(f"a time such as 90s, 30m or 2h, not {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def parse_slots(text: str) -> int | Literal["auto"]:
    """A number of slots, or auto."""
    if text == "auto":
        return "auto"
    if not re.fullmatch(r"0*[1-9][0-9]*", text):
        raise UsageError(f"a number from 1, or auto, not {text!r}")
    return int(text)


def parse_compile_mode(text: str) -> "Mode":
    """A mode of torch.compile."""
    from search.training.compiling import Mode  # imports torch

    if text not in get_args(Mode):
        raise UsageError(f"the modes are {', '.join(get_args(Mode))}, not {text!r}")
    return cast("Mode", text)


def parse_claim(text: str) -> Claim:
    """A claim from `NAME=PERCENT`, with or without a % sign."""
    name, equals, stated = (part.strip() for part in text.rpartition("="))
    if not equals:
        raise UsageError(f"a claim is NAME=PERCENT, not {text!r}; write {EXAMPLE}")
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*(%?)", stated)
    if not match:
        raise UsageError(f"a claim's percentage is a plain number such as 70 or 70.5, not {stated!r}; write {EXAMPLE}")
    percent = float(match[1])
    if 0 < percent <= 1 and not match[2]:  # 0.7 meant as 70 % would win a verdict it does not deserve
        raise UsageError(
            f"{stated} may be a percentage or a fraction: write {name}={100 * percent:g} or {name}={percent:g}%"
        )
    return Claim(name, percent / 100)
