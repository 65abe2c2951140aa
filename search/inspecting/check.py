"""What a search would meet in a space, before one starts: many draws are built and counted, none is trained."""

from __future__ import annotations

import gc
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from random import Random
from typing import Any, Literal

from search.candidate import Candidate, CandidateError, Value, from_values
from search.planning.feasibility import Feasibility, examine
from spaces import Space
from spaces.parameter import Choice, Fixed, Ordered, Parameter, same, shown

SEED = 0  # of the draws: the same space always gives the same report
HARDLY_EVER = 0.05  # of the draws: a study of 50 trials would see such a parameter twice
WASTEFUL = 0.2  # of the draws, infeasible: worth a warning
HOPELESS = 0.5  # likewise: a study would spend more of its trials on nothing than on networks
MANY_OPTIONS = 3  # from so many numbers on, their order tells a sampler something
WORTH_A_PROCESS = 100  # draws
CHUNK = 20  # draws handed to a process at once
TRIES = 50  # draws of a parameter to find another value


@dataclass(frozen=True, kw_only=True)
class SpaceFinding:
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
    """Parameters that are present in the same draws: TPE draws them jointly, and independently of all others."""

    parameters: tuple[str, ...]
    share: float  # of the draws in which they are present


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The report about a space."""

    space: str
    source: str
    draws: int
    infeasible: int  # draws that may not be trained
    over: Mapping[str, int]  # by measure, the draws over its limit; a draw may be over several
    impossible: int  # draws that make no network
    commonest: str | None  # the most frequent reason of those
    sizes: Mapping[str, Spread]  # by measure
    groups: tuple[Group, ...]  # the first is present in every draw
    findings: tuple[SpaceFinding, ...]

    @property
    def errors(self) -> tuple[SpaceFinding, ...]:
        """The findings that would spoil a search."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class CheckedDraw:
    """One draw from a space and what became of it."""

    values: Mapping[str, Value]
    examined: Feasibility


def check(space: Space, *, draws: int) -> Checked:
    """Draw from the space, build every network on the meta device, and look for what a search would suffer from."""
    rng = Random(SEED)  # noqa: S311 no secret is drawn
    sampled = [space.sample(rng) for _ in range(draws)]
    examined = _examined(space, [_with_equal_dropout(values) for values in sampled])
    drawn = [CheckedDraw(values=values, examined=result) for values, result in zip(sampled, examined, strict=True)]
    over = Counter(name for result in examined for name, value in result.violations.items() if value > 0)
    reasons = Counter("; ".join(each.problem.splitlines()) for each in examined if each.candidate is None)
    commonest = reasons.most_common(1)[0][0] if reasons else None
    infeasible = sum(bool(result.problem) for result in examined)
    groups = _groups(space, drawn)
    shares = [f"{count / draws:.0%} are over the limit of {name}" for name, count in over.most_common()]
    if reasons:
        shares.append(f"{reasons.total() / draws:.0%} make no network, most often: {commonest}")
    findings = [
        *_feasibility(infeasible / draws, shares),
        *_baselines(space),
        *_rarely_present(groups),
        *_order(space),
        *_without_effect(space, drawn, rng=rng),
    ]
    return Checked(
        space=space.name,
        source=space.source,
        draws=draws,
        infeasible=infeasible,
        over=dict(over.most_common()),
        impossible=reasons.total(),
        commonest=commonest,
        sizes=_sizes(space, examined),
        groups=groups,
        findings=tuple(SpaceFinding(level=level, message=message) for level, message in findings),
    )


def _examined(space: Space, values: Sequence[Mapping[str, Value]]) -> list[Feasibility]:
    """Each of the values, on all cores where there are many: a network takes some 15 ms."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if cores == 1 or len(values) < WORTH_A_PROCESS * cores:
        return [examine(space, each) for each in values]
    # Equal networks side by side, since a process remembers those that it has built.
    order = sorted(range(len(values)), key=lambda index: _network(values[index]))
    examine(space, values[0])  # the first one makes torch import more of itself, which the others then share
    # Forked, since the parent has torch already. No thread of torch runs: on the meta device nothing is computed.
    # Without the garbage collector, which would look through all that torch has made, for processes that end soon.
    forks = ProcessPoolExecutor(cores, mp_context=get_context("fork"), initializer=gc.disable)
    with warnings.catch_warnings(), forks as pool:
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads, which are numpy's
        results = pool.map(partial(examine, space), [values[index] for index in order], chunksize=CHUNK)
        by_index = dict(zip(order, results, strict=True))
    return [by_index[index] for index in range(len(values))]


def _network(values: Mapping[str, Value]) -> str:
    return repr(sorted(item for item in values.items() if item[0].startswith("architecture.")))


def _with_equal_dropout(values: Mapping[str, Value]) -> dict[str, Value]:
    """The same network at 0.5 for every dropout above 0: it costs the same, and need not be built again."""
    return {
        name: 0.5 if value and name.startswith("architecture.") and "dropout" in name else value
        for name, value in values.items()
    }


def _sizes(space: Space, examined: Sequence[Feasibility]) -> dict[str, Spread]:
    built = [result.numbers for result in examined if result.candidate is not None]
    sizes = {}
    for measure in built[0] if built else ():
        numbers = sorted(each[measure] for each in built)
        median, maximum = numbers[len(numbers) // 2], space.limits.get(measure)
        sizes[measure] = Spread(smallest=numbers[0], median=median, largest=numbers[-1], maximum=maximum)
    return sizes


def _groups(space: Space, drawn: Sequence[CheckedDraw]) -> tuple[Group, ...]:
    """As Optuna splits a search space (its `group=True`): by the set of trials in which a parameter is present."""
    names: dict[tuple[bool, ...], list[str]] = {}
    for parameter in _varying(space):
        names.setdefault(tuple(parameter.name in draw.values for draw in drawn), []).append(parameter.name)
    groups = [Group(parameters=tuple(each), share=sum(present) / len(present)) for present, each in names.items()]
    return tuple(sorted(groups, key=lambda group: -group.share))


Findings = Iterator[tuple[Literal["error", "warning"], str]]


def _feasibility(share: float, reasons: Sequence[str]) -> Findings:
    if share > WASTEFUL:
        what = "none of the draws may be trained" if share == 1 else f"{share:.0%} of the draws may not be trained"
        step = "narrow the ranges, raise the limits, or use `when`"
        yield "error" if share > HOPELESS else "warning", f"{what}: {'; '.join(reasons)}; {step}"


def _baselines(space: Space) -> Findings:
    for baseline in space.baselines:
        if problem := examine(space, baseline.values).problem:
            yield "error", f"baseline {baseline.name} may not be trained: {problem}"


def _rarely_present(groups: Sequence[Group]) -> Findings:
    for group in groups:
        if group.share < HARDLY_EVER:
            names = ", ".join(group.parameters)
            yield "warning", f"hardly ever sampled, in {group.share:.1%} of the draws: {names}; loosen the condition"


def _order(space: Space) -> Findings:
    for parameter in _varying(space):
        if isinstance(parameter.kind, Choice) and (better := _with_order(parameter.kind.options)):
            message = f"{parameter.name} is a choice of numbers, whose order a sampler cannot see; write {better}"
            yield "warning", message


def _with_order(options: Sequence[Value]) -> str | None:
    """How to write numbers so that their order counts; None for options that are not all numbers, or few."""
    numbers = sorted(option for option in options if isinstance(option, (int, float)) and not isinstance(option, bool))
    if len(numbers) < len(options) or len(options) < MANY_OPTIONS:
        return None
    step = numbers[1] - numbers[0]
    if isinstance(step, int) and numbers == [*range(int(numbers[0]), int(numbers[-1]) + 1, step)]:
        return f"{{integer: [{numbers[0]}, {numbers[-1]}]{f', step: {step}' if step > 1 else ''}}}"
    return f"{{ordered: [{', '.join(map(shown, numbers))}]}}"


def _without_effect(space: Space, drawn: Sequence[CheckedDraw], *, rng: Random) -> Findings:
    for parameter in _varying(space):
        present = [draw for draw in drawn if parameter.name in draw.values and draw.examined.candidate is not None]
        if present and not any(_matters(space, parameter, draw.values, rng=rng) for draw in present):
            yield "warning", f"{parameter.name} never changes the candidate; leave it out, or give it a `when`"


def _matters(space: Space, parameter: Parameter, drawn: Mapping[str, Value], *, rng: Random) -> bool:
    """Whether another value of this parameter alone makes another candidate of a draw."""
    kind, value = parameter.kind, drawn[parameter.name]
    options = kind.options if isinstance(kind, (Choice, Ordered)) else (kind.sample(rng) for _ in range(TRIES))
    other = next((option for option in options if not same(option, value)), value)
    values: dict[str, Value] = {}
    for each in space.parameters:
        if each.active(values):  # what is present only with the other value is drawn
            kept = drawn[each.name] if each.name in drawn else each.kind.sample(rng)
            values[each.name] = other if each is parameter else kept
    return _candidate(values) != _candidate(drawn)


def _candidate(values: Mapping[str, Value]) -> Candidate | None:
    try:
        return from_values(values)
    except CandidateError:
        return None


def _varying(space: Space) -> list[Parameter]:
    return [parameter for parameter in space.parameters if not isinstance(parameter.kind, Fixed)]
