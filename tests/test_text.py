"""Numbers and durations in words."""

from __future__ import annotations

import pytest

from search.text import counts, duration, percent, plain, plural


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (59.6, "60 s"), (119.4, "119 s"), (119.6, "2 min"), (3600, "60 min"), (7140, "119 min"),
        (7170, "2 h 00 min"), (7200, "2 h 00 min"), (9000, "2 h 30 min"), (360_000, "100 h 00 min"),
    ],
)  # fmt: skip
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_numbers_in_words() -> None:
    assert (percent(0.8534), percent(1.0), percent(None)) == ("85.34 %", "100.00 %", "-")
    assert (plural(1, "slot"), plural(0, "slot"), plural(1000, "slot")) == ("1 slot", "0 slots", "1,000 slots")
    assert counts({"complete": 12, "pruned": 5, "failed": 0}) == "12 complete, 5 pruned"
    assert counts({"complete": 0}) == "none yet"
    assert [plain(value) for value in (0.123456, 1e-6, 3, "relu", True)] == ["0.1235", "1e-06", "3", "relu", "True"]
