"""Reads the options whose text is no plain number, name or path. Each function raises UsageError."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, get_args

from search.deciding.request import EXAMPLE, Claim
from search.errors import UsageError

if TYPE_CHECKING:
    from search.training.compiling import Mode

_PERCENT = re.compile(r"(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)\s*(?P<sign>%?)")


def parse_seconds(text: str) -> float:
    """90s, 30m or 2h in seconds; a number alone is seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise UsageError(f"a time such as 90s, 30m or 2h, not {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def parse_slots(text: str) -> int | Literal["auto"]:
    """A number of slots, or auto."""
    if text == "auto":
        return "auto"
    if not re.fullmatch(r"-?[0-9]+", text):
        raise UsageError(f"a number from 1, or auto, not {text!r}")
    if int(text) < 1:
        raise UsageError(f"a run needs at least 1 slot, not {int(text)}")
    return int(text)


def parse_slot_count(text: str) -> int:
    """A number of slots for a command that does not measure how many pay."""
    if (slots := parse_slots(text)) == "auto":
        raise UsageError("auto is for `run`, which has time to measure; here give a number")
    return slots


def parse_compile_mode(text: str) -> Mode:
    """A mode of torch.compile."""
    from search.training.compiling import Mode  # imports torch

    modes: tuple[Mode, ...] = get_args(Mode)
    for mode in modes:
        if mode == text:
            return mode
    raise UsageError(f"the modes are {', '.join(modes)}, not {text!r}")


def parse_claim(text: str) -> Claim:
    """A claim from `NAME=PERCENT`, with or without a % sign."""
    name, equals, stated = text.rpartition("=")
    if not equals:
        raise UsageError(f"a claim is NAME=PERCENT, not {text!r}; write {EXAMPLE}")
    found = _PERCENT.fullmatch(stated.strip())
    if not found:
        raise UsageError(f"a claim's percentage is a plain number such as 70 or 70.5, not {stated!r}; write {EXAMPLE}")
    percent = float(found["number"])
    if 0 < percent <= 1 and not found["sign"]:  # 0.7 meant as 70 % would win a verdict it does not deserve
        raise UsageError(
            f"{stated.strip()} may be a percentage or a fraction: write {name}={100 * percent:g} or {name}={percent:g}%"
        )
    return Claim(name.strip(), percent / 100)
