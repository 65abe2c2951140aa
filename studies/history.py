"""The trials of a study as plain data, read while it runs or after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from studies import unknown
from studies.manifest import Manifest, stored_manifest
from studies.storage import opened

State = Literal["complete", "pruned", "failed", "running", "waiting"]
Outcome = Literal["diverged", "out-of-memory", "crashed", "hung", "infeasible"]

PLANNED = "planned"  # study attribute: how many trials the last start asked for

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial: `accuracy` is its final validation accuracy or, while there is none, the last one reported."""

    number: int
    state: State
    values: dict[str, Any]  # flat, the fixed ones included; empty until the trial starts
    accuracy: float | None
    outcome: Outcome | None  # why it could not be finished
    message: str | None
    epochs: tuple[tuple[int, float], ...]  # (epoch from 1, validation accuracy)
    curve: tuple[dict[str, Any], ...]  # what the supervisor measured in each epoch
    seed: int | None
    attributes: dict[str, float]  # parameters, flops, seconds_per_epoch, ...
    violations: dict[str, float]  # constraint -> value, violated above 0
    baseline: str | None  # its name among the values that were tried first
    started: datetime | None
    seconds: float | None  # from start to end, for finished trials

    @property
    def feasible(self) -> bool:
        """No constraint is violated."""
        return all(value <= 0 for value in self.violations.values())


@dataclass(frozen=True, kw_only=True)
class History:
    """A study as it stood at one moment; trials are in order of their number."""

    study: str
    manifest: Manifest
    planned: int  # trials in total, as the last start asked for
    trials: tuple[TrialRecord, ...]

    @property
    def counts(self) -> dict[State, int]:
        """Number of trials in each state."""
        states = [trial.state for trial in self.trials]
        return {state: states.count(state) for state in _STATES.values()}

    @property
    def finished(self) -> int:
        """Trials that are complete, pruned or failed."""
        counts = self.counts
        return counts["complete"] + counts["pruned"] + counts["failed"]

    @property
    def best(self) -> TrialRecord | None:
        """The complete, feasible trial of the highest accuracy, the earlier one of equals."""
        return next(iter(self.top(1)), None)

    def top(self, k: int) -> tuple[TrialRecord, ...]:
        """The k best complete, feasible trials, best first."""
        feasible = [trial for trial in self.trials if trial.state == "complete" and trial.feasible]
        return tuple(sorted(feasible, key=lambda trial: -(trial.accuracy or 0.0))[:k])


def read_history(name: str, *, storage: str) -> History:
    """The study of that name at a storage URL; writes nothing. Raises StudyError, StorageError."""
    with opened(storage, read_only=True) as database:
        study_id = find_study(name, storage=database)
        attributes = database.get_study_user_attrs(study_id)
        manifest = stored_manifest(attributes, study=name)
        trials = database.get_all_trials(study_id, deepcopy=False)
        return history(name, manifest=manifest, planned=attributes.get(PLANNED, len(trials)), trials=trials)


def study_names(storage: str) -> tuple[str, ...]:
    """Every study at a storage URL, oldest first. Raises StorageError."""
    with opened(storage, read_only=True) as database:
        return tuple(study.study_name for study in database.get_all_studies())


def find_study(name: str, *, storage: RDBStorage) -> int:
    """Optuna's id of a study. Raises StudyError with the known names and the nearest."""
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        raise unknown("study", name, (study.study_name for study in storage.get_all_studies())) from None


def history(name: str, *, manifest: Manifest, planned: int, trials: Iterable[FrozenTrial]) -> History:
    """The plain view of Optuna's trials."""
    records = sorted((_record(trial) for trial in trials), key=lambda record: record.number)
    return History(study=name, manifest=manifest, planned=planned, trials=tuple(records))


def _record(trial: FrozenTrial) -> TrialRecord:
    attributes = dict(trial.user_attrs)
    values = attributes.pop("values", trial.params)
    baseline, outcome, message = (attributes.pop(name, None) for name in ("baseline", "outcome", "message"))
    curve, seed = attributes.pop("curve", []), attributes.pop("seed", None)
    epochs = tuple(sorted(trial.intermediate_values.items()))
    last = epochs[-1][1] if epochs else None
    # Optuna has no state that a sampler learns from but "pruned": a trial that failed is told as such.
    failed = trial.state is TrialState.PRUNED and outcome not in {None, "infeasible"}
    return TrialRecord(
        number=trial.number,
        state="failed" if failed else _STATES[trial.state],
        values=dict(values),
        accuracy=last if trial.value is None else trial.value,
        outcome=outcome,
        message=message,
        epochs=epochs,
        curve=tuple(curve),
        seed=seed,
        attributes={name: value for name, value in attributes.items() if isinstance(value, (int, float))},
        violations=dict(trial.constraints),
        baseline=baseline,
        started=trial.datetime_start.astimezone() if trial.datetime_start else None,
        seconds=trial.duration.total_seconds() if trial.duration else None,
    )
