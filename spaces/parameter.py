"""One thing that varies: the range or the options of its values, and the condition under which it is there."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Protocol

from search.sentences import Value as Value

MOST_STEPS = 1_000_000  # in one range; also keeps the decimal remainder far from its 28 digits
LARGEST_INTEGER = 2**53  # Optuna keeps integers as floats, which are exact up to here


class SuggestingTrial(Protocol):
    """The part of `optuna.Trial` that a space needs."""

    def suggest_float(self, name: str, /, low: float, high: float, *, step: float | None, log: bool) -> float: ...

    def suggest_int(self, name: str, /, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, /, choices: Sequence[Any]) -> Any: ...


class KindError(ValueError):
    """A range or a list of options that cannot be: every field at fault, the rule it breaks, the actual value."""

    def __init__(self, faults: Iterable[tuple[str, str, object]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{rule}, not {value!r}" for _, rule, value in self.faults))


@dataclass(frozen=True)
class RandomTrial:
    """Suggests at random, without a study."""

    rng: Random

    def suggest_float(self, _name: str, /, low: float, high: float, *, step: float | None, log: bool) -> float:
        if step is not None:
            return float(Decimal(str(low)) + Decimal(str(step)) * self.rng.randint(0, round((high - low) / step)))
        if log:
            return min(max(math.exp(self.rng.uniform(math.log(low), math.log(high))), low), high)
        return min(max(self.rng.uniform(low, high), low), high)

    def suggest_int(self, _name: str, /, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if not log:
            return self.rng.randrange(low, high + 1, step)
        # half a unit beyond each end, so that the ends round to their full share
        drawn = round(math.exp(self.rng.uniform(math.log(low - 0.5), math.log(high + 0.5))))
        return min(max(drawn, low), high)

    def suggest_categorical(self, _name: str, /, choices: Sequence[Any]) -> Any:
        return self.rng.choice(choices)


@dataclass(frozen=True)
class _Range:
    """What Float and Integer have in common: both bounds are included; values lie evenly, by logarithm, or in steps."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        low, high, step = self.low, self.high, None if self.step == type(self).step else self.step
        proper = low < high and math.isfinite(high - low)
        step_rule = ""
        if step is None:
            pass
        elif self.log:
            step_rule = "a log range takes no step"
        elif not step > 0:
            step_rule = "step must be above 0"
        elif proper and (high - low) / step > MOST_STEPS:
            step_rule = f"step must cut {low} .. {high} into at most {MOST_STEPS} parts"
        elif proper and (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
            step_rule = f"step must divide {low} .. {high}, or its upper end would never be tried"
        bounds_rule = "" if proper else "must be [low, high] with low < high (a single value is written plainly)"
        log_rule = "a log range needs low > 0" if self.log and not low > 0 else ""
        rules = (("bounds", bounds_rule, [low, high]), ("log", log_rule, low), ("step", step_rule, step))
        if faults := [fault for fault in rules if fault[1]]:
            raise KindError(faults)

    def describe(self) -> str:
        """`0.001 .. 0.1, log` or `16 .. 64, step 16`."""
        form = ", log" if self.log else "" if self.step == type(self).step else f", step {self.step}"
        return f"{self.low} .. {self.high}{form}"


@dataclass(frozen=True)
class Float(_Range):
    """A real number between two bounds."""

    def __post_init__(self) -> None:
        for name, number in (("low", self.low), ("high", self.high), ("step", self.step)):
            object.__setattr__(self, name, None if number is None else float(number))
        super().__post_init__()

    def suggest(self, name: str, trial: SuggestingTrial) -> float:
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: Value) -> bool:
        """Whether the study could suggest this value; an integer counts as a float."""
        if isinstance(value, (bool, str)) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step is not None else 0.0
        return abs(steps - round(steps)) < 1e-8  # Optuna's own tolerance


@dataclass(frozen=True)
class Integer(_Range):
    """A whole number between two bounds."""

    low: int
    high: int
    step: int = 1

    def suggest(self, name: str, trial: SuggestingTrial) -> int:
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: Value) -> bool:
        """Whether the study could suggest this value; 4.0 and true are no integers."""
        return type(value) is int and self.low <= value <= self.high and (value - self.low) % self.step == 0


@dataclass(frozen=True)
class _Options:
    """What Choice and Ordered have in common."""

    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise KindError([("options", "must have at least one option", [])])
        if isinstance(self, Ordered) and len(self.options) < 2:
            rule = "must have at least 2 options (a single value is written plainly)"
            raise KindError([("options", rule, [*self.options])])
        if len(set(self.options)) < len(self.options):  # by ==, as Optuna compares them: true is 1 there
            raise KindError([("options", "options must differ, and true equals 1, 4.0 equals 4", [*self.options])])

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
class Fixed:
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

KINDS: dict[str, Any] = {kind.__name__.lower(): kind for kind in (Float, Integer, Choice, Ordered, Fixed)}


@dataclass(frozen=True)
class Parameter:
    """A dotted name with its kind, there only when each named parameter has one of the given values."""

    name: str
    kind: Kind
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

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
