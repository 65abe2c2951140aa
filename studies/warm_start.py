"""Trials of another study that a new one starts with: they teach it, and do not count in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from studies import StudyError
from studies.history import CARRIED, Reader, TrialRecord, find_study, study_attributes, study_names
from studies.manifest import Manifest
from studies.storage import reading

if TYPE_CHECKING:  # who only asks where trials came from can do without Optuna, which takes a while to import
    import optuna
    from optuna.trial import FrozenTrial

SAME = ("data_fingerprint", "split_fingerprint", "epochs", "images", "retrain_epochs", "metric")

_FROM = "carried_from"  # study attribute: the study whose trials it was given


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A complete or pruned trial of another study, in the terms of the new one."""

    record: TrialRecord  # as it ended there
    stored: Mapping[str, Any]  # what Optuna keeps of its values
    violations: Mapping[str, float]  # of the new study's limits


@dataclass(frozen=True, kw_only=True)
class Carry:
    """What a new study is given."""

    study: str  # where the trials come from
    trials: tuple[Carried, ...]
    most: int  # how many there might have been
    suggest: Callable[[Any], Mapping[str, Any]]  # as in Study.ask


def check_alike(old: Manifest, new: Manifest, *, study: str) -> None:
    """Raises StudyError where no number of the old study could stand beside one of the new."""
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in SAME]
    lines = [f"{name.removesuffix('_fingerprint')}: {then} -> {now}" for name, then, now in pairs if then != now]
    if lines:
        raise StudyError(
            f"no trial of study {study!r} can be carried over, it was started with something else (then -> now):\n  "
            + "\n  ".join(lines)
            + "\nstart this study with the same, or leave --carry-over out"
        )


def carried_from(name: str, *, storage: str) -> str | None:
    """The study whose trials this one was given; None where it was given none, or is not there. Raises StorageError."""
    if name not in study_names(storage):
        return None
    with reading(storage) as connection:
        attributes = study_attributes(connection, find_study(name, connection=connection))
        return attributes.get(_FROM)


def carry_over(
    carry: Carry, *, cost: str | None, study: optuna.Study, reader: Reader, connection: Connection
) -> tuple[str, ...]:
    """In a turn: adds the trials to a study that has none yet, once in its life; returns what to say.

    `cost` is the study's second objective, a number of every complete trial. Raises StudyError.
    """
    known = study_attributes(connection, reader.study_id).get(_FROM)
    if known == carry.study:
        return ()
    if known or reader.trials(connection):
        given = f"was given those of {known!r}" if known else "has trials of its own"
        raise StudyError(
            f"trials are carried over when a study is created, and {reader.name!r} {given}; "
            "leave --carry-over out, or start another study with --study OTHER"
        )
    for trial in carry.trials:
        study.add_trial(_added(trial, carry=carry, cost=cost))
    study.set_user_attr(_FROM, carry.study)
    return (f"{len(carry.trials)} of {carry.most} trials of study {carry.study} are carried over",)


def _added(trial: Carried, *, carry: Carry, cost: str | None) -> FrozenTrial:
    from optuna.trial import FixedTrial, TrialState, create_trial

    record, drawn = trial.record, FixedTrial(dict(trial.stored))
    values = dict(carry.suggest(drawn))
    kept = {"baseline": record.baseline, "outcome": record.outcome, "message": record.message, "stop": record.stop}
    added = create_trial(
        state=TrialState.COMPLETE if record.state == "complete" else TrialState.PRUNED,
        values=_told(record, cost=cost),
        params=drawn.params,
        distributions=drawn.distributions,
        intermediate_values=dict(record.epochs),
        constraints=dict(trial.violations),
        user_attrs={
            CARRIED: record.carried or f"{carry.study} trial {record.number}",
            "asked": {"values": values, "seed": record.seed},
            "curve": list(record.curve),
            **record.attributes,
            **{name: value for name, value in kept.items() if value is not None},
        },
    )
    if record.started is not None and record.seconds is not None:  # Optuna keeps local times without their zone
        added.datetime_start = record.started.replace(tzinfo=None)
        added.datetime_complete = added.datetime_start + timedelta(seconds=record.seconds)
    return added


def _told(record: TrialRecord, *, cost: str | None) -> Sequence[float] | None:
    """What Optuna is told of a trial's end; of a pruned one it keeps no second value."""
    if record.accuracy is None or (cost and record.state == "pruned"):
        return None
    return [record.accuracy, record.attributes[cost]] if cost else [record.accuracy]
