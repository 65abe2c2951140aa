"""A search space: which values a trial may have, and which measures of a network are too large."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from search.errors import UserError
from search.sentences import nearest
from spaces.parameter import KINDS, Fixed, Kind, Ordered, Parameter, RandomTrial, SuggestingTrial, Value, condition_text

STATED_SIDE = 32  # pixels of the pictures that a limit of FLOPs is meant for
EDGE = 2  # pixels that a network may lose of them, so that what just keeps a limit does so on larger ones


@dataclass(frozen=True)
class Problem:
    """One mistake of a space file: the rule, the actual value, the place, the next step. Line 0 is the whole file."""

    file: str
    line: int
    rule: str
    value: object = None
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        value = repr(self.value)
        value = value if len(value) <= 80 else value[:77] + "..."
        actual = "" if self.value is None else f", not {value}"
        text = f"{place}: {self.rule}{actual}" + (self.hint and f", {self.hint}")
        return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)  # no terminal codes


class SpaceError(UserError):
    """A space that cannot be read: every problem found, one a line."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class TrainingLength:
    """How long to train, epochs."""

    trial: int
    retrain: int


@dataclass(frozen=True)
class Baseline:
    """A named draw from the space that is tried first; complete, the fixed values included."""

    name: str
    values: Mapping[str, Value]
    epochs: int | None = None  # of a training that it is the best known for


@dataclass(frozen=True)
class Space:
    """What may vary. `architecture.family` is the first parameter, a fixed value."""

    name: str
    source: str  # where the text came from
    description: str
    family: str
    length: TrainingLength | None
    parameters: tuple[Parameter, ...]  # a condition names only parameters before its own
    limits: Mapping[str, float] = field(default_factory=dict)  # the largest allowed value, by measure
    baselines: tuple[Baseline, ...] = ()

    def __post_init__(self) -> None:
        before: set[str] = set()
        for parameter in self.parameters:
            if parameter.name in before or not before.issuperset(parameter.when):
                raise ValueError(f"{parameter.name} is there twice or depends on a parameter that comes later")
            before.add(parameter.name)

    @property
    def varying(self) -> list[Parameter]:
        """The parameters that are not fixed."""
        return [parameter for parameter in self.parameters if not isinstance(parameter.kind, Fixed)]

    @property
    def has_conditions(self) -> bool:
        """Whether some parameters depend on others: samplers differ in what they do then."""
        return any(parameter.when for parameter in self.parameters)

    def suggest(self, trial: SuggestingTrial) -> dict[str, Value]:
        """Values chosen by the study, the fixed ones included; inactive parameters are absent."""
        values: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.active(values):
                values[parameter.name] = parameter.kind.suggest(parameter.name, trial)
        return values

    def sample(self, rng: Random) -> dict[str, Value]:
        """Values drawn at random, of the same form as suggested ones."""
        return self.suggest(RandomTrial(rng))

    def complete(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The values as a study would suggest them: fixed ones are added, inactive parameters are left out."""
        given = {each.name: each.kind.value for each in self.parameters if isinstance(each.kind, Fixed)} | dict(values)
        completed: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.name in given and parameter.active(completed):
                completed[parameter.name] = given[parameter.name]
        return completed

    def stored(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """What a study keeps of these values: the position of an ordered option, nothing of what is fixed."""
        stored = {each.name: values[each.name] for each in self.varying if each.name in values}
        kinds = {each.name: each.kind for each in self.varying if isinstance(each.kind, Ordered)}
        return stored | {name: kind.position(stored[name]) for name, kind in kinds.items() if name in stored}

    def check(self, values: Mapping[str, Value]) -> list[str]:
        """One sentence for each value that is outside the space; empty if a study could suggest these values."""
        names = {parameter.name for parameter in self.parameters}
        sentences = [f"{name} is not a parameter of space {self.name}" for name in values if name not in names]
        for parameter in self.parameters:
            name, given = parameter.name, parameter.name in values
            if not parameter.active(values):
                sentences += [f"{name} is only there {condition_text(parameter.when)}"] * given
            elif not given:
                sentences.append(f"{name} is missing; it may be {parameter.kind.describe()}")
            elif not parameter.kind.contains(values[name]):
                sentences.append(f"{name} must be {parameter.kind.describe()}, not {values[name]!r}")
        return sentences

    def misfits(self, stored: Mapping[str, Any]) -> list[str]:
        """One sentence for each value, in the form of `stored`, that no study of this space would store."""
        kinds, sentences = {parameter.name: parameter.kind for parameter in self.parameters}, []
        for name, value in stored.items():
            kind, form, proper = kinds.get(name), "", isinstance(value, str | int | float)
            if isinstance(kind, Ordered):
                form, proper = "the position, from 0, in ", type(value) is int and value in range(len(kind.options))
            if kind is None:
                sentences.append(f"{name} is not a parameter of space {self.name}; {nearest(name, kinds)}")
            elif not proper or not (form or kind.contains(value)):
                sentences.append(f"{name} must be {form}{kind.describe()}, not {value!r}")
        return sentences

    def limits_at(self, side: int) -> dict[str, float]:
        """The limits for pictures of so many pixels a side: that of FLOPs is stated for STATED_SIDE.

        It grows with a larger picture, unless every network enlarges its pictures to a size of its own.
        """
        own = any(parameter.name == "architecture.input_size" for parameter in self.parameters)
        growth = 1.0 if own else max(1.0, (side - EDGE) / (STATED_SIDE - EDGE)) ** 2
        return {name: most * growth if name == "flops" else most for name, most in self.limits.items()}

    def violations(self, measures: Mapping[str, float], *, side: int) -> dict[str, float]:
        """For each measured limit, value / maximum - 1: 0 and below is feasible."""
        limits = self.limits_at(side)
        return {name: measures[name] / maximum - 1 for name, maximum in limits.items() if name in measures}

    def canonical(self) -> dict[str, Any]:
        """Plain data for JSON that says everything a study must keep equal; equal spaces give equal data."""
        parameters = {parameter.name: _entry(parameter) for parameter in self.parameters}
        return {"parameters": parameters, "constraints": dict(self.limits)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical form, in hexadecimal."""
        text = json.dumps(self.canonical(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two canonical forms, one readable line for each parameter or constraint."""
    lines = []
    for part, text in (("parameters", _entry_text), ("constraints", "at most {:.12g}".format)):
        before, after = old[part], new[part]
        for name in dict.fromkeys((*before, *after)):
            label = name if part == "parameters" else f"constraints.{name}"
            if name not in before or name not in after:
                lines.append(f"{label}: only in the {'old' if name in before else 'new'} space")
            elif before[name] != after[name]:
                lines.append(f"{label}: {text(before[name])} -> {text(after[name])}")
    return lines


def _entry(parameter: Parameter) -> dict[str, Any]:
    kind = {"kind": type(parameter.kind).__name__.lower(), **asdict(parameter.kind)}
    if "options" in kind:
        kind["options"] = list(kind["options"])  # as it comes back from JSON; the order counts for Optuna
    return {**kind, "when": {name: sorted(options, key=repr) for name, options in parameter.when.items()}}


def _entry_text(entry: Mapping[str, Any]) -> str:
    fields = {name: value for name, value in entry.items() if name not in ("kind", "when")}
    kind: Kind = KINDS[entry["kind"]](**fields)
    text = f"fixed at {kind.describe()}" if isinstance(kind, Fixed) else kind.describe()
    return f"{text}, {condition_text(entry['when'])}" if entry["when"] else text
