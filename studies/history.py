"""A study as plain data, read while it runs or after."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from search.text import percent
from studies import StudyError, unknown
from studies.manifest import ATTRIBUTE, Manifest, stored_manifest
from studies.storage import EmptyStorageError, opened

State = Literal["complete", "pruned", "failed", "running", "waiting", "foreign"]  # foreign: another program made it
Outcome = Literal["diverged", "out-of-memory", "crashed", "hung", "timed-out", "infeasible"]

PLANNED = "planned"  # study attribute: trials in total, as the last start asked for
START = "start_"  # study attribute: start_0001, ... where each start came from
LEDGER = "openings of test sets"  # Optuna's study of that ledger, without trials; none of ours can be called so
CARRIED = "carried"  # trial attribute: the study and the trial that it was carried over from

COUNTED = get_args(State)[:-1]
FOREIGN = "not made by cifar-search"
ENDED_ELSEWHERE = "ended by another program, such as the dashboard"

_STATES: dict[str, State] = {state.upper(): state for state in get_args(State)}  # by Optuna's names, but for "FAIL"
MOST_RETRIES = 2  # of a trial whose slot died, hung or took too long


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A training that was cut short by a fault of its slot, and counts against the trial."""

    attempt: int
    outcome: Outcome
    message: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One trial to run."""

    number: int  # from 0
    values: dict[str, Any]  # flat
    baseline: str | None  # its name, if it was queued by one
    seed: int  # 63 bits, from the study's seed and the number alone
    attempt: int  # from 1: how often it was asked for
    reported: int  # epochs that are stored of earlier attempts


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial: `accuracy`, by the metric of its study, is its final one or, while there is none, the last."""

    number: int
    state: State
    values: dict[str, Any] = field(default_factory=dict)  # flat, the fixed ones included; empty until the trial starts
    accuracy: float | None = None
    outcome: Outcome | None = None  # why it could not be finished
    message: str | None = None
    epochs: tuple[tuple[int, float], ...] = ()  # (epoch from 1, accuracy)
    curve: tuple[dict[str, Any], ...] = ()  # what was measured in each epoch
    seed: int | None = None
    attributes: dict[str, float] = field(default_factory=dict)  # parameters, flops, seconds_per_epoch, ...
    violations: dict[str, float] = field(default_factory=dict)  # constraint -> value, violated above 0
    baseline: str | None = None  # its name among the values that were tried first
    started: datetime | None = None
    seconds: float | None = None  # from start to end, for finished trials
    start: int | None = None  # the start of the study that asked for it last, from 1
    attempts: int = 0  # how often it was asked for
    losses: tuple[Loss, ...] = ()
    checkpoint: str | None = None  # SHA-256 of the final one
    carried: str | None = None  # the study and the trial that it was carried over from: it does not count here

    @property
    def feasible(self) -> bool:
        """No constraint is violated."""
        return all(value <= 0 for value in self.violations.values())

    @property
    def finished(self) -> bool:
        """Nothing of it changes any more."""
        return self.state not in {"running", "waiting"}


@dataclass(frozen=True, kw_only=True)
class History:
    """A study as it stood at one moment; trials are in order of their number."""

    study: str
    manifest: Manifest
    planned: int  # trials in total, as the last start asked for
    trials: tuple[TrialRecord, ...]
    starts: tuple[dict[str, str], ...] = ()  # where each start came from

    @property
    def counts(self) -> dict[State, int]:
        """Number of trials in each state, without those that were carried over or are foreign."""
        states = [trial.state for trial in self.trials if not trial.carried]
        return {state: states.count(state) for state in COUNTED}

    @property
    def begun(self) -> int:
        """Trials that do not wait, without those that were carried over or are foreign."""
        return sum(self.counts.values()) - self.counts["waiting"]

    @property
    def finished(self) -> int:
        """Trials that are complete, pruned or failed, without those that were carried over or are foreign."""
        return self.begun - self.counts["running"]

    @property
    def remaining(self) -> int:
        """Trials that may still be asked for; those that wait are among them."""
        return max(0, self.planned - self.begun)

    @property
    def carried(self) -> int:
        """Trials that were carried over from another study."""
        return sum(trial.carried is not None for trial in self.trials)

    @property
    def best(self) -> TrialRecord | None:
        """The complete, feasible trial of the highest accuracy, the earlier one of equals."""
        return next(iter(self.top(1)), None)

    def top(self, k: int) -> tuple[TrialRecord, ...]:
        """The k best complete, feasible trials, best first."""
        feasible = [trial for trial in self.trials if trial.state == "complete" and trial.feasible]
        return tuple(sorted(feasible, key=lambda trial: -(trial.accuracy or 0.0))[:k])

    def trial(self, number: int) -> TrialRecord:
        """One trial. Raises StudyError where there is none of that number."""
        if not 0 <= number < len(self.trials):
            numbers = f"its trials are 0 to {len(self.trials) - 1}" if self.trials else "none was begun yet"
            raise StudyError(f"study {self.study!r} has no trial {number}; {numbers}")
        return self.trials[number]

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """The Pareto front, cheapest first: no other trial is as accurate for less, or better for as much.

        Empty where the study has no cost.
        """
        if (cost := self.manifest.cost) is None:
            return ()
        front: list[TrialRecord] = []
        for trial in sorted(self.top(len(self.trials)), key=lambda trial: trial.attributes[cost]):
            if not front or (trial.accuracy or 0.0) > (front[-1].accuracy or 0.0):
                front.append(trial)
        return tuple(front)


def read_history(name: str, *, storage: str) -> History:
    """The study of that name at a storage URL; writes nothing. Raises StudyError, StorageError."""
    with opened(storage, read_only=True) as database:
        return history_of(load_study(name, storage=database))


def find_history(name: str, *, storage: str) -> History | None:
    """The same, or None where there is no such study yet; an empty one that a killed start left is none either."""
    with suppress(EmptyStorageError), opened(storage, read_only=True) as database:
        if name in study_names(database):
            study = load_study(name, storage=database)
            if ATTRIBUTE in study.user_attrs or study.get_trials(deepcopy=False):
                return history_of(study)
    return None


def last_start(name: str, *, storage: str) -> dict[str, str]:
    """Where the last start of a study came from; empty where there is no such study yet. Raises StorageError."""
    with suppress(EmptyStorageError), opened(storage, read_only=True) as database:
        if name in study_names(database):
            starts: list[dict[str, str]] = numbered(load_study(name, storage=database).user_attrs, START)
            return starts[-1] if starts else {}
    return {}


def latest_study(storage: str) -> str | None:
    """The study that was started last; None where there is none of ours. Raises StorageError."""
    with opened(storage, read_only=True) as database:
        studies = [study for study in database.get_all_studies() if isinstance(study.user_attrs.get(ATTRIBUTE), dict)]
    starts = {study.study_name: numbered(study.user_attrs, START) for study in studies}
    return max(starts, key=lambda name: [start.get("time", "") for start in starts[name][-1:]], default=None)


def load_study(name: str, *, storage: RDBStorage) -> optuna.Study:
    """Optuna's study of that name. Raises StudyError with the nearest of the known names."""
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        raise unknown("study", name, study_names(storage)) from None


def study_names(storage: RDBStorage) -> list[str]:
    """The names of all studies, also of other programs."""
    return [study.study_name for study in storage.get_all_studies() if study.study_name != LEDGER]


def history_of(study: optuna.Study) -> History:
    """The study as it stands now. Raises StudyError for one that cifar-search did not make."""
    attributes = study.user_attrs
    manifest = stored_manifest(attributes, study=study.study_name)
    trials = tuple(record_of(trial) for trial in study.get_trials(deepcopy=False))
    return History(
        study=study.study_name,
        manifest=manifest,
        planned=attributes.get(PLANNED, len(trials)),
        trials=trials,
        starts=tuple(numbered(attributes, START)),
    )


def record_of(trial: FrozenTrial) -> TrialRecord:
    """The plain view of Optuna's trial; of a finished one that another program made, only that it is there."""
    attributes, epochs = dict(trial.user_attrs), tuple(sorted(trial.intermediate_values.items()))
    take = attributes.pop
    asked, outcome, message = take("asked", None), take("outcome", None), take("message", None)
    asked = asked if isinstance(asked, dict) and isinstance(asked.get("values"), dict) else {}
    outcome, message = (outcome, message) if outcome in get_args(Outcome) else (None, None)
    checkpoint, carried, baseline = take("checkpoint", None), take(CARRIED, None), take("baseline", None)
    state = _STATES.get(trial.state.name, "failed")
    if state not in ("running", "waiting") and not (asked or outcome or carried):
        return TrialRecord(number=trial.number, state="foreign", message=FOREIGN)
    if state == "failed" or (state == "complete" and (not epochs or trial.values[0] != epochs[-1][1])):
        state, message = "failed", ENDED_ELSEWHERE  # no trial ends so here
    elif state == "pruned" and outcome not in {None, "infeasible"}:
        state = "failed"  # Optuna has no state that a sampler learns from but "pruned"
    losses = _rows(take("losses", ()), {"attempt", "outcome", "message"})
    started, ended = trial.datetime_start, trial.datetime_complete
    return TrialRecord(
        number=trial.number,
        state=state,
        values=asked.get("values", {}),
        accuracy=trial.values[0] if trial.values else epochs[-1][1] if epochs else None,
        outcome=outcome,
        message=message,
        epochs=epochs,
        curve=tuple(_rows(take("curve", ()), {"epoch"})),
        seed=asked.get("seed"),
        violations=dict(trial.constraints),
        baseline=baseline if isinstance(baseline, str) else None,
        started=started.astimezone() if started else None,
        seconds=(ended - started).total_seconds() if ended and started else None,
        start=asked.get("start"),
        attempts=asked.get("attempt", 0),
        losses=tuple(Loss(attempt=row["attempt"], outcome=row["outcome"], message=row["message"]) for row in losses),
        checkpoint=checkpoint,
        carried=carried,
        attributes={name: value for name, value in attributes.items() if isinstance(value, (int, float))},
    )


def best_note(best: TrialRecord, *, metric: str) -> str:
    """What the dashboard says of a study's best trial so far."""
    return (
        f"**Best so far: trial {best.number}**, {percent(best.accuracy)} {metric}, "
        f"{best.attributes['parameters']:,.0f} parameters.\n\n"
        "The best of many is partly the luckiest of many: `cifar-search best --retrain` confirms and tests it."
    )


def _rows(value: Any, keys: set[str]) -> list[dict[str, Any]]:
    """The rows of an attribute that is written here; none of one that another program wrote under the same name."""
    rows = value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, dict) and row.keys() >= keys]


def numbered(attributes: Mapping[str, Any], prefix: str) -> list[Any]:
    """The study attributes of that prefix, in the order of their numbers."""
    return [value for key, value in sorted(attributes.items()) if key.startswith(prefix) and isinstance(value, dict)]
