"""Numbers and durations in words, the same wherever a person reads them."""

from collections.abc import Mapping, Sequence
from typing import Any


def percent(share: float | None) -> str:
    """0.8534 as 85.34 %, the resolution of 10,000 images; a dash where there is no number."""
    return "-" if share is None else f"{100 * share:.2f} %"


def plural(count: int, noun: str) -> str:
    """`1 slot`, `2 slots`, `1,000 slots`."""
    return f"{count:,} {noun}" + "s" * (count != 1)


def some(names: Sequence[str], most: int) -> str:
    """`cat, dog and 3 more`: the first names of many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def duration(seconds: float) -> str:
    """Whole seconds below two minutes, then minutes, then hours and minutes."""
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def counts(numbers: Mapping[Any, int]) -> str:
    """`12 complete, 5 pruned`, without what is zero."""
    return ", ".join(f"{count} {state}" for state, count in numbers.items() if count) or "none yet"


def plain(value: object) -> str:
    """A value of a candidate: floats to four digits, the rest as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
