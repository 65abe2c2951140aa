"""Trials of another study that a new one starts with: the sampler learns from them, and they do not count."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from studies import StudyError
from studies.history import CARRIED, TrialRecord, load_study
from studies.manifest import Manifest
from studies.storage import opened

SAME = ("data_fingerprint", "split_fingerprint", "epochs", "images", "retrain_epochs", "metric")

_FROM = "carried_from"  # study attribute: the study whose trials it was given, set when all of them are there


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A complete or pruned trial of another study, in the terms of the new one."""

    record: TrialRecord  # as it ended there
    stored: Mapping[str, Any]  # what Optuna stores of its values
    violations: Mapping[str, float]  # of the new study's limits


@dataclass(frozen=True, kw_only=True)
class Carry:
    """What a new study is given."""

    study: str  # where the trials come from
    trials: tuple[Carried, ...]
    most: int  # how many there might have been
    suggest: Callable[[Any], Mapping[str, Any]]  # as in Study.ask


def check_alike(old: Manifest, new: Manifest, *, study: str) -> None:
    """Raises StudyError where no number of the old study is comparable with one of the new."""
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in SAME]
    lines = [f"{name.removesuffix('_fingerprint')}: {then} -> {now}" for name, then, now in pairs if then != now]
    if lines:
        raise StudyError(
            f"no trial of study {study!r} can be carried over, it was started with something else (then -> now):\n  "
            + "\n  ".join(lines)
            + "\nstart this study with the same, or leave --carry-over out"
        )


def carried_from(name: str, *, storage: str) -> str | None:
    """The study whose trials this one was given; None where it was given none. Raises StudyError, StorageError."""
    with opened(storage, read_only=True) as database:
        source: str | None = load_study(name, storage=database).user_attrs.get(_FROM)
        return source


def carry_over(carry: Carry, *, cost: str | None, study: optuna.Study) -> tuple[str, ...]:
    """Adds the trials to a study that has none of its own yet, once in its life; returns what to say.

    `cost` is the study's second objective, a number of every complete trial. A call that was cut off is completed by
    the next. Raises StudyError.
    """
    given = study.user_attrs.get(_FROM)
    if given == carry.study:
        return ()
    trials = study.get_trials(deepcopy=False)
    added = {trial.user_attrs.get(CARRIED) for trial in trials}
    if given or None in added:
        given = f"was given those of {given!r}" if given else "has trials of its own"
        raise StudyError(
            f"trials are carried over when a study is created, and {study.study_name!r} {given}; "
            "leave --carry-over out, or start another study with --study OTHER"
        )
    for trial in carry.trials:
        if _source(trial.record, carry) not in added:
            study.add_trial(_frozen(trial, carry=carry, cost=cost))
    study.set_user_attr(_FROM, carry.study)
    return (f"{len(carry.trials)} of {carry.most} trials of study {carry.study} are carried over",)


def _source(record: TrialRecord, carry: Carry) -> str:
    return record.carried or f"{carry.study} trial {record.number}"


def _frozen(trial: Carried, *, carry: Carry, cost: str | None) -> FrozenTrial:
    record, drawn = trial.record, FixedTrial(dict(trial.stored))
    values = dict(carry.suggest(drawn))
    kept = {"baseline": record.baseline, "outcome": record.outcome, "message": record.message}
    frozen = create_trial(
        state=TrialState.COMPLETE if record.state == "complete" else TrialState.PRUNED,
        values=_values(record, cost=cost),
        params=drawn.params,
        distributions=drawn.distributions,
        intermediate_values=dict(record.epochs),
        constraints=dict(trial.violations),
        user_attrs={
            CARRIED: _source(record, carry),
            "asked": {"values": values, "seed": record.seed},
            "curve": list(record.curve),
            **record.attributes,
            **{name: value for name, value in kept.items() if value is not None},
        },
    )
    if record.started is not None and record.seconds is not None:  # Optuna stores local times without their zone
        frozen.datetime_start = record.started.replace(tzinfo=None)
        frozen.datetime_complete = frozen.datetime_start + timedelta(seconds=record.seconds)
    return frozen


def _values(record: TrialRecord, *, cost: str | None) -> Sequence[float] | None:
    """What Optuna is told of a trial's end; of a pruned one it keeps no second value."""
    if record.accuracy is None or (cost and record.state == "pruned"):
        return None
    return [record.accuracy, record.attributes[cost]] if cost else [record.accuracy]
