"""What a study's finished trials say of its space, and the next space that follows from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.candidate import Value
from search.inspecting.boundaries import End, ends
from search.inspecting.next_space import Change, next_space, space_of, with_baselines
from search.inspecting.status import best_trial, read_status
from spaces import Space
from spaces.parameter import Choice, shown
from spaces.writer import space_text
from studies import StudyError
from studies.history import TrialRecord
from studies.importance import BEST, LEAST, Importance, importances
from studies.storage import StorageError, masked, storage_url

FEWEST_BEST = 5  # the best trials are at least so many
RUNS = Path("runs")  # where commands look for studies unless told otherwise
MARK = "# What `cifar-search spaces advise` makes of study"  # how a file begins that may be written anew


@dataclass(frozen=True, kw_only=True)
class Absent:
    """An option that none of the best trials has."""

    name: str
    option: Value
    trials: int  # complete ones that have it
    best: int  # of the best trials those that have the parameter
    chance: float  # that so many draws miss one of the options


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the trials say, and the file of the next space."""

    study: str
    complete: int  # complete trials within the limits; nothing else is looked at
    best: int
    needed: int  # complete trials below which it is too early for more than the best trial
    ends: tuple[End, ...]
    importances: tuple[Importance, ...]
    absent: tuple[Absent, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    file: Path
    where: tuple[str, ...]  # the options that name the study's folder and storage, where they are not the usual ones

    @property
    def early(self) -> bool:
        """There are too few complete trials."""
        return self.complete < self.needed

    def as_json(self) -> dict[str, Any]:
        """What `spaces advise --json` prints."""
        return {
            **asdict(self),
            "early": self.early,
            "file": str(self.file),
            "ends": [{**asdict(end), "pressed": end.pressed} for end in self.ends],
            "importances": [{**asdict(row), "verdict": row.verdict} for row in self.importances],
        }


def advise(folder: Path, *, storage: str | None = None, study: str | None = None, output: Path | None = None) -> Advice:
    """Look at that study, or else at the one that was worked on last, and write the next space, which it returns.

    Raises StudyError, also for a file that is not of this function's making, and StorageError.
    """
    history = read_status(folder, storage=storage, study=study).history
    best = best_trial(history)
    space = space_of(history)
    trials = history.top(len(history.trials))
    quarter = trials[: max(FEWEST_BEST, math.ceil(BEST * len(trials)))]
    enough = len(trials) >= LEAST
    values = [trial.values for trial in quarter]
    pressing = ends(space, values, least=FEWEST_BEST) if enough else ()
    important = importances(history.study, storage=storage_url(folder, storage)) if enough else ()
    wanted, changes = next_space(space, trials, pressing=pressing, important=important)
    wanted, notes = with_baselines(wanted, history, best)
    advice = Advice(
        study=history.study,
        complete=len(trials),
        best=len(quarter),
        needed=LEAST,
        ends=pressing,
        importances=important,
        absent=_absent(space, trials, quarter) if enough else (),
        changes=changes,
        notes=notes,
        file=output or folder / history.study / "next.yaml",
        where=(*(("--runs", str(folder)) * (folder != RUNS)), *(("--storage", masked(storage)) if storage else ())),
    )
    _write(advice, wanted)
    return advice


def _absent(space: Space, trials: Sequence[TrialRecord], best: Sequence[TrialRecord]) -> tuple[Absent, ...]:
    found = []
    for parameter in space.parameters:
        kind, name = parameter.kind, parameter.name
        tried = [trial.values[name] for trial in best if name in trial.values]
        if isinstance(kind, Choice) and len(tried) >= FEWEST_BEST:
            chance = (1 - 1 / len(kind.options)) ** len(tried)
            found += [
                Absent(
                    name=name,
                    option=option,
                    trials=sum(trial.values.get(name) == option for trial in trials),
                    best=len(tried),
                    chance=chance,
                )
                for option in kind.options
                if option not in tried
            ]
    return tuple(found)


def _write(advice: Advice, space: Space) -> None:
    text = space_text(space, head=_head(advice), comments=_comments(advice))
    file = advice.file
    try:
        if file.exists() and not file.read_text(errors="replace").startswith(MARK):
            raise StudyError(f"{file} is there already and was not written by this command; name another with --output")
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror or error}; name another with --output") from None


def _head(advice: Advice) -> tuple[str, ...]:
    if advice.early:
        rest = f"too early to change a parameter: that takes {advice.needed}. The best trial is a baseline here."
    else:
        rest = (
            f"the best {advice.best} stand against a draw from each range. "
            "The trials of a sampler that learns follow each other, so that p is a guide and no guarantee."
        )
    return (f"{MARK[2:]} {advice.study}: {advice.complete} complete trials; {rest}", *advice.notes)


def _comments(advice: Advice) -> dict[str, str]:
    """Above each parameter why it was changed, or was not; what is said of an option stands there too."""
    found: dict[str, list[str]] = {}
    for change in advice.changes:
        told = f"was {change.before}: {change.why}" if change.after else change.why
        found.setdefault(change.name, []).append(told)
    for absent in advice.absent:
        told = (
            f"{shown(absent.option)} is in none of the best {absent.best} and in {absent.trials} of "
            f"{advice.complete} complete trials (by chance: {absent.chance:.1%})"
        )
        found.setdefault(absent.name, []).append(told)
    return {name: "; ".join(texts) for name, texts in found.items()}
