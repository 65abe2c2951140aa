"""The trials of a study as plain data, read while it runs or after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from studies import StudyError, unknown
from studies.manifest import ATTRIBUTE, Manifest, stored_manifest
from studies.owner import Owner, owners
from studies.rows import Row, nothing_thrown_away, read_rows
from studies.storage import reading
from studies.tables import STUDIES, STUDY_ATTRIBUTES, TRIALS

State = Literal["complete", "pruned", "failed", "running", "waiting"]
Outcome = Literal["diverged", "out-of-memory", "crashed", "hung", "timed-out", "infeasible"]

PLANNED = "planned"  # study attribute: how many trials the last start asked for
MOST = "most"  # study attribute: how many trials any start asked for, at most
START = "start_"  # study attribute: start_0001, ...
CARRIED = "carried"  # attribute of a trial: the study and the trial that it was carried over from

_STATES: dict[str, State] = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
MOST_RETRIES = 2  # of a trial whose slot died, hung or took too long
CONSTRAINT = "constraints:"  # what Optuna puts before the name of one


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A training that was cut short through a fault of its slot, and counts."""

    attempt: int
    outcome: Outcome
    message: str


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
    owner: str | None = None  # uuid of the supervisor that asked for it last
    place: str | None = None  # that supervisor's host
    attempts: int = 0  # how often it was asked for
    losses: tuple[Loss, ...] = ()
    checkpoint: str | None = None  # SHA-256 of the final one
    stop: int | None = None  # the epoch after which the pruner ended it
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
    most: int = 0  # trials in total, as the most demanding start asked for
    starts: tuple[dict[str, str], ...] = ()  # where each start came from
    supervisors: Mapping[str, Owner] = field(default_factory=dict)  # by uuid; those that left in order are not here

    @property
    def counts(self) -> dict[State, int]:
        """Number of trials in each state, without those that were carried over."""
        states = [trial.state for trial in self.trials if not trial.carried]
        return {state: states.count(state) for state in _STATES.values()}

    @property
    def finished(self) -> int:
        """Trials that are complete, pruned or failed, without those that were carried over."""
        return sum(trial.finished and not trial.carried for trial in self.trials)

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
            known = f"its trials are 0 to {len(self.trials) - 1}" if self.trials else "none was begun yet"
            raise StudyError(f"study {self.study!r} has no trial {number}; {known}")
        return self.trials[number]

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """The Pareto front, cheapest first: no other trial is as accurate for less, or better for as much.

        Empty where the study has no cost.
        """
        if (cost := self.manifest.cost) is None:
            return ()
        found: list[TrialRecord] = []
        for trial in sorted(self.top(len(self.trials)), key=lambda trial: trial.attributes[cost]):
            if not found or (trial.accuracy or 0.0) > (found[-1].accuracy or 0.0):
                found.append(trial)
        return tuple(found)


class Reader:
    """Reads one study again and again; a finished trial is read once, since it never changes."""

    def __init__(self, name: str, *, study_id: int) -> None:
        self.name = name
        self.study_id = study_id
        self._ids: dict[int, int] = {}  # by number of the trial
        self._records: dict[int, TrialRecord] = {}  # by id

    def read(self, connection: Connection) -> History:
        """The study as it stands now. Raises StudyError for one that is not ours."""
        attributes = study_attributes(connection, self.study_id)
        trials = self.trials(connection)
        starts = sorted(key for key in attributes if key.startswith(START))
        return History(
            study=self.name,
            manifest=stored_manifest(attributes, study=self.name),
            planned=attributes.get(PLANNED, len(trials)),
            trials=trials,
            most=attributes.get(MOST, max(attributes.get(PLANNED, 0), len(trials))),
            starts=tuple(attributes[key] for key in starts),
            supervisors=owners(attributes),
        )

    def trials(self, connection: Connection) -> tuple[TrialRecord, ...]:
        """Every trial of the study, by number."""
        unfinished = [id for id, record in self._records.items() if not record.finished]
        # Trials are made one at a time, so that a new one always has a higher id.
        fresh = TRIALS.c.trial_id > max(self._records, default=-1)
        self._read(connection, or_(fresh, TRIALS.c.trial_id.in_(unfinished)))
        return tuple(sorted(self._records.values(), key=lambda record: record.number))

    def row(self, connection: Connection, number: int) -> Row:
        """One trial as it stands now, its parameters with it. Raises StudyError where it is gone."""
        for row in read_rows(connection, TRIALS.c.trial_id == self.id(connection, number), parameters=True):
            return row
        raise StudyError(f"trial {number} of study {self.name!r} was deleted meanwhile: start another study")

    def id(self, connection: Connection, number: int) -> int:
        """Optuna's id of a trial."""
        if number not in self._ids:
            self.trials(connection)
        return self._ids[number]

    def _read(self, connection: Connection, which: ColumnElement[bool]) -> None:
        with nothing_thrown_away():
            for row in read_rows(connection, and_(TRIALS.c.study_id == self.study_id, which)):
                self._ids[row.number] = row.id
                self._records[row.id] = record_of(row)


def read_history(name: str, *, storage: str) -> History:
    """The study of that name at a storage URL; writes nothing. Raises StudyError, StorageError."""
    with reading(storage) as connection:
        return Reader(name, study_id=find_study(name, connection=connection)).read(connection)


def study_names(storage: str) -> tuple[str, ...]:
    """Every study at a storage URL, oldest first. Raises StorageError."""
    with reading(storage) as connection:
        return _names(connection)


def find_study(name: str, *, connection: Connection) -> int:
    """Optuna's id of a study. Raises StudyError with the known names and the nearest."""
    found = connection.scalar(select(STUDIES.c.study_id).where(STUDIES.c.study_name == name))
    if found is None:
        raise unknown("study", name, _names(connection))
    return int(found)


def known_manifest(name: str, *, storage: str) -> Manifest | None:
    """What the study of that name was started with; None where there is none. Raises StudyError, StorageError.

    An empty one without a manifest is none either: a start was killed just when it had made it.
    """
    with reading(storage) as connection:
        if name not in _names(connection):
            return None
        reader = Reader(name, study_id=find_study(name, connection=connection))
        attributes = study_attributes(connection, reader.study_id)
        if ATTRIBUTE not in attributes and not reader.trials(connection):
            return None
        return stored_manifest(attributes, study=name)


def study_attributes(connection: Connection, study_id: int) -> dict[str, Any]:
    """What is kept of a study beside its trials."""
    columns = (STUDY_ATTRIBUTES.c.key, STUDY_ATTRIBUTES.c.value_json)
    rows = connection.execute(select(*columns).where(STUDY_ATTRIBUTES.c.study_id == study_id))
    return {key: json.loads(value) for key, value in rows}


def _names(connection: Connection) -> tuple[str, ...]:
    return tuple(connection.scalars(select(STUDIES.c.study_name).order_by(STUDIES.c.study_id)))


def record_of(row: Row) -> TrialRecord:
    """The plain view of a trial."""
    attributes = row.attributes | row.attributes.get("asked", {})
    take = attributes.pop
    epochs, value, outcome = tuple(sorted(row.reports.items())), row.values.get(0), take("outcome", None)
    last = epochs[-1][1] if epochs else None
    # Optuna has no state that a sampler learns from but "pruned": a trial that failed is told as such.
    failed = row.state == "PRUNED" and outcome not in {None, "infeasible"}
    return TrialRecord(
        number=row.number,
        state="failed" if failed else _STATES[row.state],
        values=take("values", {}),
        accuracy=last if value is None else value,
        outcome=outcome,
        message=take("message", None),
        epochs=epochs,
        curve=tuple(take("curve", ())),
        seed=take("seed", None),
        violations={
            key.removeprefix(CONSTRAINT): value for key, value in row.system.items() if key.startswith(CONSTRAINT)
        },
        baseline=take("baseline", None),
        started=row.started.replace(tzinfo=UTC).astimezone() if row.started else None,
        seconds=(row.ended - row.started).total_seconds() if row.ended and row.started else None,
        owner=take("owner", None),
        place=take("place", None),
        attempts=take("attempt", 0),
        losses=tuple(Loss(**loss) for loss in take("losses", ())),
        checkpoint=take("checkpoint", None),
        stop=take("stop", None),
        carried=take(CARRIED, None),
        attributes={name: value for name, value in attributes.items() if isinstance(value, (int, float))},
    )
