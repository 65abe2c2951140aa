"""What the finished trials of a study say about its space, as the file of the space to search next."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, get_args

from scipy.stats import binomtest

from search.candidate import Bounds, Value, field_bounds
from search.files import write_whole
from search.inspecting.status import best_trial, read_status
from search.planning.hour import hindsight
from search.searching.study_folder import StudyFolder
from spaces.parameter import KINDS, Choice, Fixed, Float, Integer, Kind, Ordered, Parameter
from spaces.space import Baseline, Space, TrainingLength
from spaces.writer import space_text
from studies import StudyError
from studies.history import History, TrialRecord
from studies.importance import BEST, LEAST, Importance, importances
from studies.storage import StorageError, masked

MARK = "What `cifar-search spaces advise` makes of study"  # a file that begins with it may be overwritten
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


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the trials say, and how to search on."""

    study: str
    complete: int  # complete trials within the limits; others do not count
    summary: str  # how many trials are compared, or how many are missing
    crowded: tuple[BoundaryTest, ...]
    importances: tuple[Importance, ...]
    changes: Mapping[str, str]  # by parameter, with the reason
    file: str  # of the next space
    command: tuple[str, ...]  # starts its search


def advise(folder: Path, *, storage: str | None = None, study: str | None = None, output: Path | None = None) -> Advice:
    """Examines that study, or else the one that was worked on last, and writes the next space.

    Raises StudyError, also for a file that this command has not written, and StorageError.
    """
    history = read_status(folder, storage=storage, study=study).history
    best, space = best_trial(history), studied_space(history)
    trials = history.top(len(history.trials))
    count, early = max(FEWEST, math.ceil(BEST * len(trials))), len(trials) < LEAST
    summary = f"the best {count} of {len(trials)} complete trials are compared with random draws from each range"
    if early:
        summary = f"{len(trials)} complete trials; too early to change a parameter, that takes {LEAST}"
    summary = "; ".join(filter(None, (summary, hindsight(history))))
    results = [(space.stored(trial.values), trial.accuracy or 0.0) for trial in trials]
    crowded = () if early else crowded_ends(space, [trial.values for trial in trials[:count]])
    ranked = () if early else importances(results, suggest=space.suggest)
    space, changes = next_space(space, trials, crowded=crowded, importances=ranked)
    baseline = Baseline(best.baseline or f"{history.study}-{best.number}", space.complete(best.values))
    file, head = output or StudyFolder(folder, history.study).next_space, f"{MARK} {history.study}: {summary}."
    _write(file, space_text(replace(space, baselines=(baseline,)), head=[head], comments=changes))
    command = ["cifar-search", "run", "--space", str(file), "--study", f"{history.study}-next"]
    command += ["--carry-over", history.study, "--runs", str(folder)]
    command += ["--storage", masked(storage)] if storage else []
    return Advice(
        study=history.study, complete=len(trials), summary=summary, crowded=crowded, importances=ranked,
        changes=changes, file=str(file), command=tuple(command),
    )  # fmt: skip


def studied_space(history: History) -> Space:
    """The space that a study searched, from the record of the study; without baselines."""
    manifest, start = history.manifest, history.starts[-1] if history.starts else {}
    parameters = []
    for name, entry in manifest.space["parameters"].items():
        fields: dict[str, Any] = {key: tuple(value) if key == "options" else value for key, value in entry.items()}
        kind, when = KINDS[fields.pop("kind")], fields.pop("when")
        parameters.append(Parameter(name, kind(**fields), {parent: tuple(when[parent]) for parent in when}))
    length = TrainingLength(*map(int, start.get("length", f"{manifest.epochs} {manifest.retrain_epochs}").split()))
    source, description = f"study {history.study}", start.get("description", f"What study {history.study} searched")
    family = manifest.space["parameters"]["architecture.family"]["value"]
    limits = manifest.space["constraints"]
    return Space(manifest.space_name, source, description, family, length, tuple(parameters), limits)


def next_space(
    space: Space, trials: Sequence[TrialRecord], *, crowded: Sequence[BoundaryTest], importances: Sequence[Importance]
) -> tuple[Space, dict[str, str]]:
    """Widens where the best trials crowd, fixes what never mattered, and says why; the best trial comes first."""
    parameters = {parameter.name: parameter for parameter in space.parameters}
    kinds: dict[str, Kind | None] = {}  # the new ones; None: the range cannot be wider
    reasons: dict[str, list[str]] = {}
    for test in crowded:
        name, bounds = test.name, field_bounds(space.family, test.name)
        kinds[name] = widened(kinds.get(name) or parameters[name].kind, test.side, bounds=bounds) or kinds.get(name)
        counts = f"{test.at_end} of the best {test.best} lie at the {test.side} end, by chance {test.expected:.1f}"
        reasons.setdefault(name, []).append(f"{counts} (p = {test.p:.2g} by Holm)")
    for row in importances:
        if row.verdict == "never mattered" and row.name not in reasons:
            value = next(trial.values[row.name] for trial in trials if row.name in trial.values)
            kinds[row.name] = Choice((value,)) if parameters[row.name].when else Fixed(value)  # Fixed has no `when`
            chance = f"by chance {row.chance_low:.2g} to {row.chance_high:.2g}"
            reasons[row.name] = [f"never mattered in {row.trials} trials: importance {row.value:.2g}, {chance}"]
    changes = {}
    for name, why in reasons.items():
        kind, change = kinds[name], f"stays {parameters[name].kind.describe()}"
        if any(name in parameter.when for parameter in space.parameters):
            change += ", since other parameters depend on it: change it by hand"
        elif kind is None:
            change += ", since its field or its list ends there"
        else:
            change = f"{parameters[name].kind.describe()} -> {kind.describe()}"
            parameters[name] = replace(parameters[name], kind=kind)
        changes[name] = "; ".join((change, *why))
    return replace(space, parameters=tuple(parameters.values())), changes


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


def _write(file: Path, text: str) -> None:
    try:
        if file.exists() and not file.read_text(errors="replace").startswith(f"# {MARK}"):
            raise StudyError(f"{file} is there already and was not written by this command; name another with --output")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode())
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror or error}; name another with --output") from None
