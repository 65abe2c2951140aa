"""The ends of a parameter's range: whether the best trials crowd there, and how far the range can be widened."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal, get_args

from scipy.stats import binomtest

from search.candidate import Bounds, Value
from spaces.parameter import Float, Integer, Kind, Ordered
from spaces.space import Space

OUTER = 0.1  # share of the random draws that lie at one end
LEVEL = 0.05  # of the adjusted p value
FEWEST = 5  # best trials that have a parameter; with fewer its ends are not tested

Side = Literal["low", "high"]


@dataclass(frozen=True, kw_only=True)
class BoundaryTest:
    """How many of the best trials lie at one end of a range, against what random draws would show."""

    name: str
    side: Side
    at_end: int
    best: int  # best trials that have the parameter
    expected: float  # mean number at this end of as many random draws
    p: float  # exact binomial test, adjusted by Holm for all ends of all parameters


def crowded_ends(space: Space, best: Sequence[Mapping[str, Value]]) -> tuple[BoundaryTest, ...]:
    """The ends of ranges and of ordered lists where more of the best trials lie than chance explains."""
    tests, stored = [], [space.stored(values) for values in best]  # stored: positions in ordered lists
    for name, kind in ((parameter.name, parameter.kind) for parameter in space.parameters):
        if isinstance(kind, Ordered):
            kind = Integer(0, len(kind.options) - 1)
        numbers = [float(values[name]) for values in stored if name in values and isinstance(kind, Float | Integer)]
        if not isinstance(kind, Float | Integer) or len(numbers) < FEWEST:
            continue
        for side in get_args(Side):
            share = max(OUTER, _tail(kind, side, getattr(kind, side)))
            at_end = sum(_tail(kind, side, number) <= share + 1e-9 for number in numbers)
            p = float(binomtest(at_end, len(numbers), share, alternative="greater").pvalue)
            expected = share * len(numbers)
            tests.append(BoundaryTest(name=name, side=side, at_end=at_end, best=len(numbers), expected=expected, p=p))
    tests.sort(key=lambda test: test.p)
    holm = accumulate((test.p * (len(tests) - index) for index, test in enumerate(tests)), max)
    return tuple(replace(test, p=p) for test, p in zip(tests, holm, strict=True) if p < LEVEL)


def widened(kind: Kind, side: Side, *, bounds: Bounds) -> Kind | None:
    """A range, one width or on a log scale one factor longer at this end, within its field; None if it ends there."""
    if not isinstance(kind, Float | Integer) or bounds.options:
        return None
    sign, end, limit = (-1 if side == "low" else 1), getattr(kind, side), getattr(bounds, side)
    distance = abs(end * (kind.high / kind.low) ** sign - end) if kind.log else kind.high - kind.low
    if limit is not None and distance >= abs(limit - end):
        distance = abs(limit - end) * (1 if getattr(bounds, f"{side}_included") else 0.9)  # 0.9: stops before it
    if kind.step:
        distance = kind.step * math.floor(distance / kind.step + 1e-9)
    new: dict[str, Any] = {side: type(end)(float(f"{end + sign * distance:.9g}"))}
    return replace(kind, **new) if distance > 0 else None


def _tail(kind: Float | Integer, side: Side, value: float) -> float:
    """The share of random draws that lie as close to this end as the value, or closer."""
    half = (kind.step or 0.0) / 2  # a draw is rounded to a step: each value stands for half a step on both sides
    scale = math.log if kind.log else float
    low, high = scale(kind.low - half), scale(kind.high + half)
    return ((high - scale(value - half)) if side == "high" else (scale(value + half) - low)) / (high - low)
