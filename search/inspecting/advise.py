"""What the finished trials of a study say about its space, as the file of the space to search next."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.candidate import field_bounds
from search.files import write_whole
from search.inspecting.boundaries import FEWEST, BoundaryTest, crowded_ends, widened
from search.inspecting.status import best_trial, read_status
from search.searching.study_folder import StudyFolder
from spaces.parameter import KINDS, Choice, Fixed, Kind, Parameter
from spaces.space import Baseline, Space, TrainingLength
from spaces.writer import space_text
from studies import StudyError
from studies.history import History, TrialRecord
from studies.importance import BEST, LEAST, Importance, importances
from studies.storage import StorageError, masked

MARK = "What `cifar-search spaces advise` makes of study"  # a file that begins with it may be overwritten


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


def _write(file: Path, text: str) -> None:
    try:
        if file.exists() and not file.read_text(errors="replace").startswith(f"# {MARK}"):
            raise StudyError(f"{file} is there already and was not written by this command; name another with --output")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode())
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror or error}; name another with --output") from None
