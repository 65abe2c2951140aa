"""Numbers and durations in words, the same everywhere in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from studies.history import State


def percent(share: float | None) -> str:
    """0.8534 as 85.34 %; a dash where there is no number."""
    return "-" if share is None else f"{100 * share:.2f} %"


def duration(seconds: float) -> str:
    """Whole seconds below two minutes, then minutes, then hours and minutes."""
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def counts(numbers: Mapping[State, int] | Mapping[str, int]) -> str:
    """`12 complete, 5 pruned`, without what is zero."""
    return ", ".join(f"{count} {state}" for state, count in numbers.items() if count) or "none yet"


def plain(value: object) -> str:
    """A value of a candidate: floats to four digits, the rest as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
