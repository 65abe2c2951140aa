"""What a search would meet in a space, found before one starts: draws that are built and counted, never trained."""

from __future__ import annotations

import gc
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from random import Random
from typing import Any, Literal

from search.candidate import Candidate, CandidateError, Value, from_values
from search.planning.feasibility import Feasibility, examine
from spaces import Space
from spaces.parameter import Choice, Fixed, Kind, Ordered, Parameter, same, shown

SEED = 0  # of the draws: the same space is always found the same
HARDLY_EVER = 0.05  # of the draws: a study of 50 trials would see such a parameter twice
WASTEFUL = 0.2  # of the draws, infeasible: worth a word
HOPELESS = 0.5  # likewise: a study would spend more of its trials on nothing than on networks
MANY_OPTIONS = 3  # from so many numbers on, their order tells a sampler something
WORTH_A_PROCESS = 100  # draws
CHUNK = 20  # draws handed to a process at once
TRIES = 50  # draws of a parameter to find another value


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to mend: an error would spoil a search, a warning makes it worse than it could be."""

    level: Literal["error", "warning"]
    message: str


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One measure over all draws whose network can be built."""

    smallest: float
    median: float  # the upper one of two
    largest: float
    maximum: float | None  # what the space allows


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parameters that are always there together, which TPE draws jointly, and independently of all others."""

    parameters: tuple[str, ...]
    share: float  # of the draws in which they are there


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found about a space."""

    space: str
    source: str
    draws: int
    infeasible: int  # draws that may not be trained
    over: Mapping[str, int]  # by measure, the draws over its limit; a draw may be over several
    impossible: int  # draws that make no network
    commonest: str | None  # what is said of most of those
    sizes: Mapping[str, Spread]  # by measure
    groups: tuple[Group, ...]  # the first is there always
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that would spoil a search."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One draw from a space and what became of it."""

    values: Mapping[str, Value]
    examined: Feasibility


def check(space: Space, *, draws: int) -> Checked:
    """Draw from the space, build every network on the meta device, and look for what a search would suffer from."""
    rng = Random(SEED)  # noqa: S311 no secret is drawn
    sampled = [space.sample(rng) for _ in range(draws)]
    examined = _examined(space, [_alike(values) for values in sampled])
    drawn = [Draw(values=values, examined=found) for values, found in zip(sampled, examined, strict=True)]
    over = Counter(name for draw in drawn for name, value in draw.examined.violations.items() if value > 0)
    sentences = (draw.examined.problem for draw in drawn if draw.examined.candidate is None)
    impossible = Counter("; ".join(sentence.splitlines()) for sentence in sentences)
    groups = _groups(space, drawn)
    checked = Checked(
        space=space.name,
        source=space.source,
        draws=draws,
        infeasible=sum(bool(draw.examined.problem) for draw in drawn),
        over=dict(over.most_common()),
        impossible=impossible.total(),
        commonest=impossible.most_common(1)[0][0] if impossible else None,
        sizes=_sizes(space, drawn),
        groups=groups,
        findings=(),
    )
    findings = (
        *_feasibility(checked),
        *_baselines(space),
        *_rarely_there(groups),
        *_order(space),
        *_without_effect(space, drawn, rng=rng),
    )
    return replace(checked, findings=findings)


def _examined(space: Space, values: Sequence[Mapping[str, Value]]) -> list[Feasibility]:
    """Each of the values, by all cores where there are many: a network takes some 15 ms."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if cores == 1 or len(values) < WORTH_A_PROCESS * cores:
        return [examine(space, each) for each in values]
    # Equal networks side by side, since a process remembers those that it has built.
    order = sorted(range(len(values)), key=lambda index: _network(values[index]))
    examine(space, values[0])  # the first one has torch import more of itself, which the others then share
    # Forks, which have torch already. Nothing here has started its threads: on the meta device nothing is computed.
    # Nothing that they make has to be looked for among much that stays, and they end soon.
    forks = ProcessPoolExecutor(cores, mp_context=get_context("fork"), initializer=gc.disable)
    with warnings.catch_warnings(), forks as pool:
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads, which are numpy's
        found = pool.map(partial(examine, space), [values[index] for index in order], chunksize=CHUNK)
        by_index = dict(zip(order, found, strict=True))
    return [by_index[index] for index in range(len(values))]


def _network(values: Mapping[str, Value]) -> str:
    return repr(sorted(item for item in values.items() if item[0].startswith("architecture.")))


def _alike(values: Mapping[str, Value]) -> dict[str, Value]:
    """A network that costs the same, however much these drop, so that its like need not be built again."""
    dropping = {
        name for name, value in values.items() if name.startswith("architecture.") and "dropout" in name and value
    }
    return {name: 0.5 if name in dropping else value for name, value in values.items()}


def _sizes(space: Space, drawn: Sequence[Draw]) -> dict[str, Spread]:
    built = [draw.examined.numbers for draw in drawn if draw.examined.candidate is not None]
    found = {}
    for measure in built[0] if built else ():
        numbers = sorted(each[measure] for each in built)
        middle = numbers[len(numbers) // 2]
        found[measure] = Spread(
            smallest=numbers[0], median=middle, largest=numbers[-1], maximum=space.limits.get(measure)
        )
    return found


def _groups(space: Space, drawn: Sequence[Draw]) -> tuple[Group, ...]:
    """As Optuna splits a search space (its `group=True`): by the set of trials in which a parameter is there."""
    where: dict[tuple[bool, ...], list[str]] = {}
    for parameter in _varying(space):
        there = tuple(parameter.name in draw.values for draw in drawn)
        where.setdefault(there, []).append(parameter.name)
    groups = [Group(parameters=tuple(names), share=sum(there) / len(there)) for there, names in where.items()]
    return tuple(sorted(groups, key=lambda group: -group.share))


def _feasibility(checked: Checked) -> Iterator[Finding]:
    share = checked.infeasible / checked.draws
    if share <= WASTEFUL:
        return
    reasons = [f"{count / checked.draws:.0%} are over the limit of {name}" for name, count in checked.over.items()]
    if checked.impossible:
        reasons.append(f"{checked.impossible / checked.draws:.0%} make no network, most often: {checked.commonest}")
    what = "none of the draws may be trained" if share == 1 else f"{share:.0%} of the draws may not be trained"
    step = "narrow the ranges, raise the limits, or use `when`"
    yield Finding(level="error" if share > HOPELESS else "warning", message=f"{what}: {'; '.join(reasons)}; {step}")


def _baselines(space: Space) -> Iterator[Finding]:
    for baseline in space.baselines:
        if problem := examine(space, baseline.values).problem:
            yield Finding(level="error", message=f"baseline {baseline.name} may not be trained: {problem}")


def _rarely_there(groups: Sequence[Group]) -> Iterator[Finding]:
    for group in groups:
        if group.share < HARDLY_EVER:
            names = ", ".join(group.parameters)
            message = f"hardly ever sampled, in {group.share:.1%} of the draws: {names}; loosen the condition"
            yield Finding(level="warning", message=message)


def _order(space: Space) -> Iterator[Finding]:
    for parameter in _varying(space):
        if isinstance(parameter.kind, Choice) and (better := _with_order(parameter.kind.options)):
            message = f"{parameter.name} is a choice of numbers, whose order a sampler cannot see; write {better}"
            yield Finding(level="warning", message=message)


def _with_order(options: Sequence[Value]) -> str | None:
    """How to write numbers so that their order counts; None for what is no such list."""
    numbers = sorted(option for option in options if isinstance(option, (int, float)) and not isinstance(option, bool))
    if len(numbers) < len(options) or len(options) < MANY_OPTIONS:
        return None
    step = numbers[1] - numbers[0]
    if isinstance(step, int) and numbers == [*range(int(numbers[0]), int(numbers[-1]) + 1, step)]:
        return f"{{integer: [{numbers[0]}, {numbers[-1]}]{f', step: {step}' if step > 1 else ''}}}"
    return f"{{ordered: [{', '.join(map(shown, numbers))}]}}"


def _without_effect(space: Space, drawn: Sequence[Draw], *, rng: Random) -> Iterator[Finding]:
    for parameter in _varying(space):
        there = [draw for draw in drawn if parameter.name in draw.values and draw.examined.candidate is not None]
        if there and not any(_matters(space, parameter, draw, rng=rng) for draw in there):
            message = f"{parameter.name} never changes the candidate; leave it out, or give it a `when`"
            yield Finding(level="warning", message=message)


def _matters(space: Space, parameter: Parameter, draw: Draw, *, rng: Random) -> bool:
    """Whether another value of this parameter alone makes another candidate of a draw."""
    other = _another(parameter.kind, draw.values[parameter.name], rng=rng)
    values: dict[str, Value] = {}
    for each in space.parameters:
        if each.active(values):  # what the other value brings with it is drawn
            kept = draw.values[each.name] if each.name in draw.values else each.kind.sample(rng)
            values[each.name] = other if each is parameter else kept
    return _candidate(values) != _candidate(draw.values)


def _another(kind: Kind, value: Value, *, rng: Random) -> Value:
    """A different value of this kind; the same one where there is no other."""
    options = kind.options if isinstance(kind, (Choice, Ordered)) else (kind.sample(rng) for _ in range(TRIES))
    return next((option for option in options if not same(option, value)), value)


def _candidate(values: Mapping[str, Value]) -> Candidate | None:
    try:
        return from_values(values)
    except CandidateError:
        return None


def _varying(space: Space) -> list[Parameter]:
    return [parameter for parameter in space.parameters if not isinstance(parameter.kind, Fixed)]
