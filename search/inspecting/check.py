"""What a search would meet in a space, before one starts: many draws are built and counted, none is trained."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from random import Random
from statistics import median_high
from typing import Literal

from search.candidate import CandidateError, Value, from_values
from search.container import Container
from search.description import CIFAR10
from search.planning.feasibility import Feasibility, examine
from spaces import Space
from spaces.parameter import Choice, Float, Integer, Parameter, RandomTrial, same, shown

SEED = 0  # of the draws: the same space always gives the same report
HARDLY_EVER = 0.05  # of the draws: a study of 50 trials would see such a parameter twice
WASTEFUL = 0.2  # of the draws, infeasible: worth a warning
HOPELESS = 0.5  # likewise: a study would spend more of its trials on nothing than on networks
MANY_OPTIONS = 3  # from so many numbers on, their order tells a sampler something
WORTH_A_PROCESS = 100  # draws
CHUNK = 20  # draws handed to a process at once


@dataclass(frozen=True)
class SpaceFinding:
    """Something to mend: an error would spoil a search, a warning makes it worse than it could be."""

    level: Literal["error", "warning"]
    message: str


@dataclass(frozen=True)
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


def check(space: Space, *, draws: int) -> Checked:
    """Draw from the space, build every network on the meta device, and look for what a search would suffer from."""
    rng = Random(SEED)  # noqa: S311 no secret is drawn
    drawn = [space.sample(rng) for _ in range(draws)]
    examined = _examine_all(space, drawn)
    over = Counter(name for result in examined for name, value in result.violations.items() if value > 0)
    reasons = Counter("; ".join(each.problem.splitlines()) for each in examined if each.candidate is None)
    commonest = reasons.most_common(1)[0][0] if reasons else None
    infeasible = sum(bool(result.problem) for result in examined)
    groups = _groups(space, drawn)
    shares = [f"{count / draws:.0%} are over the limit of {name}" for name, count in over.most_common()]
    if reasons:
        shares.append(f"{reasons.total() / draws:.0%} make no network, most often: {commonest}")
    built = [values for values, result in zip(drawn, examined, strict=True) if result.candidate is not None]
    findings = (
        *_infeasible(space, infeasible / draws, shares),
        *_rarely_present(groups),
        *_badly_written(space, built, rng=rng),
    )
    return Checked(
        space=space.name,
        source=space.source,
        draws=draws,
        infeasible=infeasible,
        over=dict(over.most_common()),
        impossible=reasons.total(),
        commonest=commonest,
        sizes=_sizes(space, [result.numbers for result in examined if result.candidate is not None]),
        groups=groups,
        findings=findings,
    )


def _examine_all(space: Space, values: Sequence[Mapping[str, Value]]) -> list[Feasibility]:
    """Each of the values, on all cores where there are many: a network takes some 15 ms."""
    cores = Container().cores()[0] if hasattr(os, "sched_getaffinity") else 1
    if cores > 1 and len(values) >= WORTH_A_PROCESS * cores:
        examine(space, values[0], images=CIFAR10)  # torch then imports more of itself, which the others share
        # Forked, since the parent has torch already. No thread of torch runs: on the meta device nothing is computed.
        forks = partial(ProcessPoolExecutor, cores, mp_context=get_context("fork"))
        with suppress(OSError), warnings.catch_warnings(), forks() as pool:  # where /dev/shm cannot be written
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads, which are numpy's
            return [*pool.map(partial(examine, space, images=CIFAR10), values, chunksize=CHUNK)]
    return [examine(space, each, images=CIFAR10) for each in values]


def _sizes(space: Space, built: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    sizes = {}
    for measure in built[0] if built else ():
        numbers, most = [each[measure] for each in built], space.limits.get(measure)
        sizes[measure] = Spread(min(numbers), median_high(numbers), max(numbers), maximum=most)
    return sizes


def _groups(space: Space, drawn: Sequence[Mapping[str, Value]]) -> tuple[Group, ...]:
    """As Optuna splits a search space (its `group=True`): by the set of trials in which a parameter is present."""
    names: dict[tuple[bool, ...], list[str]] = {}
    for parameter in space.varying:
        names.setdefault(tuple(parameter.name in values for values in drawn), []).append(parameter.name)
    groups = [Group(parameters=tuple(each), share=sum(present) / len(present)) for present, each in names.items()]
    return tuple(sorted(groups, key=lambda group: -group.share))


def _infeasible(space: Space, share: float, reasons: Sequence[str]) -> Iterator[SpaceFinding]:
    if share > WASTEFUL:
        what = "none of the draws may be trained" if share == 1 else f"{share:.0%} of the draws may not be trained"
        message = f"{what}: {'; '.join(reasons)}; narrow the ranges, raise the limits, or use `when`"
        yield SpaceFinding("error" if share > HOPELESS else "warning", message)
    for baseline in space.baselines:
        if problem := examine(space, baseline.values, images=CIFAR10).problem:
            yield SpaceFinding("error", f"baseline {baseline.name} may not be trained: {problem}")


def _rarely_present(groups: Sequence[Group]) -> Iterator[SpaceFinding]:
    for group in groups:
        if group.share < HARDLY_EVER:
            what = f"hardly ever sampled, in {group.share:.1%} of the draws: {', '.join(group.parameters)}"
            yield SpaceFinding("warning", f"{what}; loosen the condition")


def _badly_written(space: Space, built: Sequence[Mapping[str, Value]], *, rng: Random) -> Iterator[SpaceFinding]:
    for parameter in space.varying:
        name, kind = parameter.name, parameter.kind
        if isinstance(kind, Choice) and (better := _with_order(kind.options)):
            what = f"{name} is a choice of numbers, whose order a sampler cannot see"
            yield SpaceFinding("warning", f"{what}; write {better}")
        present = [values for values in built if name in values]
        if present and not any(_matters(space, parameter, values, rng=rng) for values in present):
            yield SpaceFinding("warning", f"{name} never changes the candidate; leave it out, or give it a `when`")


def _with_order(options: Sequence[Value]) -> str | None:
    """How to write numbers so that their order counts; None for options that are not all numbers, or few."""
    numbers = sorted(option for option in options if isinstance(option, (int, float)) and not isinstance(option, bool))
    if len(numbers) < len(options) or len(options) < MANY_OPTIONS:
        return None
    step = numbers[1] - numbers[0]
    if isinstance(step, int) and numbers == [*range(int(numbers[0]), int(numbers[-1]) + 1, step)]:
        return f"{{integer: [{numbers[0]}, {numbers[-1]}]{f', step: {step}' if step > 1 else ''}}}"
    return f"{{ordered: [{', '.join(map(shown, numbers))}]}}"


def _matters(space: Space, parameter: Parameter, drawn: Mapping[str, Value], *, rng: Random) -> bool:
    """Whether another value of this parameter alone makes another candidate of a draw."""
    kind, value = parameter.kind, drawn[parameter.name]
    options = (kind.low, kind.high) if isinstance(kind, Float | Integer) else getattr(kind, "options", ())
    other = next((option for option in options if not same(option, value)), value)
    values: dict[str, Value] = {}
    for each in space.parameters:
        if each.active(values):  # what is present only with the other value is drawn
            kept = drawn[each.name] if each.name in drawn else each.kind.suggest(each.name, RandomTrial(rng))
            values[each.name] = other if each is parameter else kept
    try:
        return from_values(values) != from_values(drawn)
    except CandidateError:
        return True
