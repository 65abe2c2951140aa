"""Whether the best trials press against an end of a range, and how far the range could reach beyond it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from search.candidate import Check, Value
from spaces.parameter import Choice, Fixed, Float, Integer, Kind, KindError, Ordered
from spaces.space import Space

OUTER = 0.1  # share of a range that is its outer part at one end
LEVEL = 0.05  # of the adjusted p below which the best trials press against an end
MOST_LISTED = 1000  # values of a range that are looked at one by one

Side = Literal["low", "high"]


@dataclass(frozen=True, kw_only=True)
class End:
    """How many of the best trials lie at one end of a parameter's range, and how many would by chance."""

    name: str
    side: Side
    there: int
    best: int  # of the best trials those that have the parameter
    share: float  # of a draw from the range that lies there
    p: float  # of at least so many there, were they drawn from the range: the exact binomial tail
    adjusted: float  # by Holm for all the ends that were looked at

    @property
    def pressed(self) -> bool:
        """More lie there than chance explains."""
        return self.adjusted < LEVEL


def ends(space: Space, best: Sequence[Mapping[str, Value]], *, least: int) -> tuple[End, ...]:
    """Both ends of every numeric parameter that at least so many of the best have, the likeliest pressed first."""
    found = []
    for parameter in space.parameters:
        values = [values[parameter.name] for values in best if parameter.name in values]
        if isinstance(parameter.kind, Choice | Fixed) or len(values) < least:
            continue
        for side in ("low", "high"):
            share, inside = _outer(parameter.kind, side)
            there = sum(map(inside, values))
            p = tail(there, len(values), share)
            found.append(
                End(name=parameter.name, side=side, there=there, best=len(values), share=share, p=p, adjusted=p)
            )
    found.sort(key=lambda end: end.p)
    adjusted = holm([end.p for end in found])
    return tuple(replace(end, adjusted=p) for end, p in zip(found, adjusted, strict=True))


def tail(successes: int, tries: int, share: float) -> float:
    """The probability of at least so many successes; the share is above 0 and below 1."""
    counts = range(successes, tries + 1)
    ways = (math.lgamma(tries + 1) - math.lgamma(count + 1) - math.lgamma(tries - count + 1) for count in counts)
    logs = (way + n * math.log(share) + (tries - n) * math.log1p(-share) for n, way in zip(counts, ways, strict=True))
    return min(1.0, math.fsum(map(math.exp, logs)))


def holm(ascending: Sequence[float]) -> list[float]:
    """The p of several tests, adjusted so that one false alarm among all of them is as rare as in a single test."""
    adjusted: list[float] = []
    for index, p in enumerate(ascending):
        adjusted.append(max([*adjusted[-1:], min(1.0, p * (len(ascending) - index))]))
    return adjusted


def widened(kind: Kind, side: Side, *, check: Check) -> Kind | None:
    """A range one width longer at this end, a logarithmic one by the same factor; steps are kept.

    Where the candidate's field does not allow so much it is as much as it allows; None where that is nothing.
    """
    try:
        match kind:
            case Integer() | Float(step=float()):
                return _counted(kind, side, check)
            case Float():
                return _stretched(kind, side, check)
            case Ordered():
                return _continued(kind, side, check)
    except KindError:  # too many steps, or integers beyond 2^53
        return None
    return None


def _outer(kind: Float | Integer | Ordered, side: Side) -> tuple[float, Callable[[Value], bool]]:
    """The share of a range's outer part, and whether a value lies in it: the end itself, and more up to a tenth."""
    weights = _weights(kind)
    if weights is None:
        assert not isinstance(kind, Ordered), "an ordered parameter has few options"
        return OUTER, lambda value: _position(kind, value, side) <= OUTER
    listed = list(weights.items()) if side == "low" else list(reversed(weights.items()))
    chosen, share = {listed[0][0]}, listed[0][1]
    for value, weight in listed[1:]:
        if share + weight > OUTER + 1e-9:
            break
        chosen.add(value)
        share += weight
    return share, lambda value: _listed(kind, value) in chosen


def _weights(kind: Float | Integer | Ordered) -> dict[int, float] | None:
    """How likely each value is drawn, by its place in the range; None where there are too many, or no steps."""
    if isinstance(kind, Ordered):
        count = len(kind.options)
    elif kind.step is None:
        return None
    else:
        count = round((kind.high - kind.low) / kind.step) + 1
    if count > MOST_LISTED:
        return None
    if isinstance(kind, Integer) and kind.log:
        drawn = [math.log((value + 0.5) / (value - 0.5)) for value in range(kind.low, kind.high + 1)]
        return {place: weight / math.fsum(drawn) for place, weight in enumerate(drawn)}
    return dict.fromkeys(range(count), 1 / count)


def _listed(kind: Float | Integer | Ordered, value: Value) -> int:
    if isinstance(kind, Ordered):
        return kind.position(value)
    return round((float(value) - kind.low) / (kind.step or 1))


def _position(kind: Float | Integer, value: Value, side: Side) -> float:
    """From 0 at this end to 1 at the other, in the parameter's own scale."""
    scale = math.log if kind.log else float
    low, high = scale(kind.low), scale(kind.high)
    place = (scale(float(value)) - low) / (high - low)
    return place if side == "low" else 1 - place


def _counted(kind: Integer | Float, side: Side, check: Check) -> Kind | None:
    """By as many whole steps as are allowed."""
    step = kind.step or 1
    sign, bound = (-1, kind.low) if side == "low" else (1, kind.high)
    wanted = round((kind.high - kind.low) / step)
    if kind.log:
        wanted = round(abs(bound * (kind.high / kind.low) ** sign - bound))

    def moved(count: int) -> float:
        exact = Decimal(str(bound)) + sign * count * Decimal(str(step))
        return int(exact) if isinstance(kind, Integer) else float(exact)

    count = _most(wanted, lambda count: check(moved(count)) is None and not (kind.log and moved(count) <= 0))
    return _reaching(kind, side, moved(count)) if count else None


def _most(wanted: int, allowed: Callable[[int], bool]) -> int:
    """The largest count up to the wanted one that is allowed, where all smaller ones are."""
    if wanted < 1 or allowed(wanted):
        return max(wanted, 0)
    least, most = 0, wanted  # allowed, not allowed
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if allowed(middle) else (least, middle)
    return least


def _stretched(kind: Float, side: Side, check: Check) -> Kind | None:
    sign, bound = (-1, kind.low) if side == "low" else (1, kind.high)

    def moved(share: float) -> float:
        if kind.log:
            return _round(bound * (kind.high / kind.low) ** (sign * share))
        return _round(bound + sign * share * (kind.high - kind.low))

    parts = 2**20
    share = _most(parts, lambda count: check(moved(count / parts)) is None) / parts
    new = moved(share)
    edge = moved(share + 1 / parts)  # a round number, where the field allows it
    edge = float(f"{edge:.3g}") if kind.log else round(edge, 3 - math.floor(math.log10(kind.high - kind.low))) + 0.0
    if share < 1 and check(edge) is None:
        new = edge
    elif share < 1:
        new = moved(share / 2)  # it ends before a number that it does not allow: half of the way
    beyond = new < bound if side == "low" else new > bound
    return _reaching(kind, side, new) if beyond and check(new) is None else None


def _continued(kind: Ordered, side: Side, check: Check) -> Kind | None:
    """Options go on by their common ratio, or else by the last difference."""
    options = kind.options if side == "high" else kind.options[::-1]
    numbers: list[int | float] = [option for option in options if not isinstance(option, bool | str)]
    if len(numbers) < len(options):
        return None
    ratios = [after / before for before, after in pairwise(numbers) if before]
    even = len(ratios) == len(numbers) - 1 and all(math.isclose(ratio, ratios[0]) for ratio in ratios)
    for _ in numbers[1:]:
        new = numbers[-1] * ratios[0] if even else numbers[-1] + numbers[-1] - numbers[-2]
        if all(isinstance(number, int) for number in numbers):
            if not math.isclose(new, round(new)):
                break
            new = round(new)
        else:
            new = _round(float(new))
        if new in numbers or check(new) is not None:
            break
        numbers.append(new)
    if len(numbers) == len(options):
        return None
    return Ordered(tuple(numbers if side == "high" else reversed(numbers)))


def _reaching(kind: Integer | Float, side: Side, bound: float) -> Kind:
    low, high = (bound, kind.high) if side == "low" else (kind.low, bound)
    if isinstance(kind, Integer):
        return Integer(int(low), int(high), log=kind.log, step=kind.step)
    return Float(low, high, log=kind.log, step=kind.step)


def _round(number: float) -> float:
    return float(f"{number:.6g}")
