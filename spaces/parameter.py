"""One thing that varies: the range or the options of its values, and the condition under which it is there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Protocol

from search.sentences import Value as Value

MOST_STEPS = 1_000_000  # in one range; also keeps the decimal remainder far from its 28 digits
LARGEST_INTEGER = 2**53  # Optuna keeps integers as floats, which are exact up to here

Fault = tuple[str, str, object]
"""The field at fault, the rule it breaks, the actual value."""


class SuggestingTrial(Protocol):
    """The part of `optuna.Trial` that a space needs."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class KindError(ValueError):
    """A range or a list of options that cannot be; `faults` has every broken rule."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{rule}, not {value!r}" for _, rule, value in self.faults))


@dataclass(frozen=True)
class RandomTrial:
    """Suggests at random, without a study."""

    rng: Random

    def suggest_float(
        self,
        name: str,  # noqa: ARG002
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
    ) -> float:
        if step is not None:
            return float(Decimal(str(low)) + Decimal(str(step)) * self.rng.randint(0, round((high - low) / step)))
        if log:
            return min(max(math.exp(self.rng.uniform(math.log(low), math.log(high))), low), high)
        return min(max(self.rng.uniform(low, high), low), high)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:  # noqa: ARG002
        if not log:
            return self.rng.randrange(low, high + 1, step)
        # half a unit beyond each end, so that the ends round to their full share
        drawn = round(math.exp(self.rng.uniform(math.log(low - 0.5), math.log(high + 0.5))))
        return min(max(drawn, low), high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: ARG002
        return self.rng.choice(choices)


class _Kind:
    def suggest(self, name: str, trial: SuggestingTrial) -> Value:
        raise NotImplementedError

    def sample(self, rng: Random) -> Value:
        """A value drawn at random, without a study."""
        return self.suggest("", RandomTrial(rng))


@dataclass(frozen=True)
class Float(_Kind):
    """A real number between two bounds, both included; evenly, by logarithm, or in steps."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        object.__setattr__(self, "step", None if self.step is None else float(self.step))
        _refuse(_range_faults(self.low, self.high, log=self.log, step=self.step))

    def suggest(self, name: str, trial: SuggestingTrial) -> float:
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: Value) -> bool:
        """Whether the study could suggest this value; an integer counts as a float."""
        if isinstance(value, (bool, str)) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step is not None else 0.0
        return abs(steps - round(steps)) < 1e-8  # Optuna's own tolerance

    def describe(self) -> str:
        """`0.001 .. 0.1, log`."""
        return _range_text(self.low, self.high, log=self.log, step=self.step)


@dataclass(frozen=True)
class Integer(_Kind):
    """A whole number between two bounds, both included; evenly, by logarithm, or in steps."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        for given in (self.low, self.high, self.step):
            if type(given) is not int or abs(given) > LARGEST_INTEGER:
                raise KindError([("bounds", "must be integers of at most 2^53", given)])
        step = None if self.log and self.step == 1 else self.step
        _refuse(_range_faults(self.low, self.high, log=self.log, step=step))

    def suggest(self, name: str, trial: SuggestingTrial) -> int:
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: Value) -> bool:
        """Whether the study could suggest this value; 4.0 and true are no integers."""
        return type(value) is int and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def describe(self) -> str:
        """`16 .. 64, step 16`."""
        return _range_text(self.low, self.high, log=self.log, step=None if self.step == 1 else self.step)


@dataclass(frozen=True)
class _Options(_Kind):
    """What Choice and Ordered have in common."""

    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        least = 2 if isinstance(self, Ordered) else 1
        object.__setattr__(self, "options", _checked_options(self.options, least=least))

    def contains(self, value: Value) -> bool:
        """Whether this is one of the options; true is not 1."""
        return any(same(option, value) for option in self.options)

    def describe(self) -> str:
        """`relu | gelu` or `16 < 32 < 64`."""
        return (" < " if isinstance(self, Ordered) else " | ").join(map(shown, self.options))


@dataclass(frozen=True)
class Choice(_Options):
    """One of several options without an order."""

    def suggest(self, name: str, trial: SuggestingTrial) -> Value:
        return trial.suggest_categorical(name, self.options)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Ordered(_Options):
    """One of several options in an order; the sampler sees their positions, so that it learns from neighbours."""

    def suggest(self, name: str, trial: SuggestingTrial) -> Value:
        return self.options[trial.suggest_int(name, 0, len(self.options) - 1)]

    def position(self, option: Value) -> int:
        """The index of this option: what the study keeps of it."""
        return next(index for index, known in enumerate(self.options) if same(known, option))


@dataclass(frozen=True)
class Fixed(_Kind):
    """A value that does not vary; the study never hears of it."""

    value: Value

    def suggest(self, name: str, trial: SuggestingTrial) -> Value:  # noqa: ARG002
        return self.value

    def contains(self, value: Value) -> bool:
        """Whether this is the value."""
        return same(self.value, value)

    def describe(self) -> str:
        """`3`."""
        return shown(self.value)


Kind = Float | Integer | Choice | Ordered | Fixed

KINDS: dict[str, type[Float] | type[Integer] | type[Choice] | type[Ordered] | type[Fixed]] = {
    kind.__name__.lower(): kind for kind in (Float, Integer, Choice, Ordered, Fixed)
}


@dataclass(frozen=True)
class Parameter:
    """A dotted name with its kind, there only when each named parameter has one of the given values."""

    name: str
    kind: Kind
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name in self.when or not all(self.when.values()):
            raise ValueError(f"{self.name}: a condition needs another parameter and a value, not {self.when}")

    def active(self, values: Mapping[str, Value]) -> bool:
        """Whether the parameter is there, given the values of those before it."""
        return all(
            name in values and any(same(option, values[name]) for option in options)
            for name, options in self.when.items()
        )


def same(option: Value, value: Value) -> bool:
    """Whether a value is this option: true is not 1, 4.0 is not 4, but 4 may be written for 4.0."""
    return option == value and (type(option) is type(value) or (type(option) is float and type(value) is int))


def shown(value: Value) -> str:
    """A value as one would write it in a space file, in quotes only where it could be taken for something else."""
    if isinstance(value, bool):
        return str(value).lower()
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.-]*", value, re.ASCII)
    return str(value) if plain and value not in ("true", "false", "null") else repr(value)


def condition_text(when: Mapping[str, Iterable[Value]]) -> str:
    """`when architecture.stages is 3 or 4`."""
    return "when " + " and ".join(f"{name} is {' or '.join(map(shown, options))}" for name, options in when.items())


def _checked_options(given: Iterable[Value], *, least: int) -> tuple[Value, ...]:
    options = tuple(given)
    if len(options) < least:
        some = "one option" if least == 1 else f"{least} options (a single value is written plainly)"
        raise KindError([("options", f"must have at least {some}", list(options))])
    if len(set(options)) < len(options):  # by ==, as Optuna compares them: true is 1 there
        raise KindError([("options", "options must differ, and true equals 1, 4.0 equals 4", list(options))])
    return options


def _range_text(low: float, high: float, *, log: bool, step: float | None) -> str:
    return f"{low} .. {high}" + (", log" if log else "" if step is None else f", step {step}")


def _refuse(faults: Iterator[Fault]) -> None:
    if found := list(faults):
        raise KindError(found)


def _range_faults(low: float, high: float, *, log: bool, step: float | None) -> Iterator[Fault]:
    proper = low < high and math.isfinite(high - low)
    if not proper:
        yield "bounds", "must be [low, high] with low < high (a single value is written plainly)", [low, high]
    if log and not low > 0:
        yield "log", "a log range needs low > 0", low
    if step is None:
        return
    if log:
        yield "step", "a log range takes no step", step
    elif not step > 0:
        yield "step", "step must be above 0", step
    elif proper and (high - low) / step > MOST_STEPS:
        yield "step", f"step must cut {low} .. {high} into at most {MOST_STEPS} parts", step
    elif proper and (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
        yield "step", f"step must divide {low} .. {high}, or its upper end would never be tried", step
