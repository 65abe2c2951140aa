"""Starts a study, or goes on with one that was started before.

It may start with the trials of another one: the sampler learns from them, and they do not count.
"""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from studies import StudyError
from studies.algorithms import make_pruner, make_sampler
from studies.history import CARRIED, PLANNED, START, TrialRecord, last_start, load_study
from studies.manifest import ATTRIBUTE, Differences, Manifest, check_same, stored_manifest
from studies.storage import opened
from studies.study import Study, Suggest

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
    suggest: Suggest  # of the new study


def open_study(
    name: str,
    *,
    storage: RDBStorage,
    url: str,
    sampler: str,
    pruner: str,
    trials: int,
    manifest: Manifest,
    conditional: bool,
    final_epochs: int = 1,
    differences: Differences,
    provenance: Mapping[str, str] = {},
    carry: Carry | None = None,
) -> Study:
    """Creates the study or goes on with it; `trials` is the total. Raises StudyError, StorageError.

    The sampler begins near what suits a final training of `final_epochs`.
    `storage` comes from `storage.owned`: no other process works on the study.
    """
    draw = partial(make_sampler, sampler, trials=trials, conditional=conditional, final_epochs=final_epochs)
    chosen = make_pruner(pruner, trials=trials, epochs=manifest.epochs, cost=manifest.cost)
    inner = optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=draw(seed=0),
        pruner=chosen,
        load_if_exists=True,
        directions=["maximize", "minimize"] if manifest.cost else ["maximize"],
    )
    sys.audit("cifar_search.study.created", name)
    notes = _identify(inner, manifest=manifest, differences=differences)
    notes += _carry_over(carry, cost=manifest.cost, study=inner) if carry else ()
    last = last_start(name, storage=url)
    pairs = [(key, last.get(key), provenance.get(key)) for key in ("sampler", "pruner")]
    notes += tuple(f"{key} {before} -> {after}" for key, before, after in pairs if before and after and before != after)
    start = sum(key.startswith(START) for key in inner.user_attrs) + 1
    inner.set_user_attr(f"{START}{start:04d}", {**provenance, "trials": str(trials)})
    known = inner.get_trials(deepcopy=False)
    # A study of the same seed has used the seeds of the first starts, and its trials may be carried over.
    carried = sum(CARRIED in trial.user_attrs for trial in known)
    finished = sum(trial.state.is_finished() for trial in known) - carried
    inner.set_user_attr(PLANNED, max(trials, finished))
    if finished > trials:  # nothing is taken back
        more = f"more than --trials {trials}; --trials {finished + 1} or more goes on"
        notes += (f"{finished} trials are finished already, {more}",)
    inner.sampler = draw(seed=manifest.seed_of_start(start + carried))
    return Study(inner, storage=storage, url=url, manifest=manifest, start=start, notes=notes)


def put_back_running(name: str, *, storage: RDBStorage) -> tuple[int, ...]:
    """Lets every running trial of a study wait again; `storage` is owned. Returns their numbers. Raises StudyError."""
    study = load_study(name, storage=storage)
    study_id = storage.get_study_id_from_name(name)
    numbers = [trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
    for number in numbers:
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        storage.set_trial_state_values(trial_id, state=TrialState.WAITING)
    return tuple(numbers)


def carried_from(name: str, *, storage: str) -> str | None:
    """The study whose trials this one was given; None where it was given none. Raises StudyError, StorageError."""
    with opened(storage, read_only=True) as database:
        source: str | None = load_study(name, storage=database).user_attrs.get(_FROM)
        return source


def _identify(study: optuna.Study, *, manifest: Manifest, differences: Differences) -> tuple[str, ...]:
    """Makes a new study what the manifest says, or checks that it is that already. Raises StudyError."""
    # Empty and without a manifest: new, or left by a start that was killed right here.
    directions = [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * (manifest.cost is not None)
    new = study.directions == directions and not study.get_trials(deepcopy=False)
    if ATTRIBUTE in study.user_attrs or not new:
        stored = stored_manifest(study.user_attrs, study=study.study_name)
        return check_same(stored, manifest, study=study.study_name, differences=differences)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([manifest.metric, *([manifest.cost] if manifest.cost else [])])
    study.set_user_attr(ATTRIBUTE, asdict(manifest))
    return ()


def _carry_over(carry: Carry, *, cost: str | None, study: optuna.Study) -> tuple[str, ...]:
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
        source = trial.record.carried or f"{carry.study} trial {trial.record.number}"
        if source not in added:
            study.add_trial(_frozen(trial, source=source, suggest=carry.suggest, cost=cost))
    study.set_user_attr(_FROM, carry.study)
    return (f"{len(carry.trials)} of {carry.most} trials of study {carry.study} are carried over",)


def _frozen(trial: Carried, *, source: str, suggest: Suggest, cost: str | None) -> FrozenTrial:
    record, drawn, ends = trial.record, FixedTrial(dict(trial.stored)), None
    values, complete = dict(suggest(drawn)), record.state == "complete"
    if record.accuracy is not None and (complete or not cost):  # of a pruned trial Optuna keeps no second value
        ends = [record.accuracy, *([record.attributes[cost]] if cost else [])]
    kept = {"baseline": record.baseline, "outcome": record.outcome, "message": record.message}
    frozen = create_trial(
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        values=ends,
        params=drawn.params,
        distributions=drawn.distributions,
        intermediate_values=dict(record.epochs),
        constraints=dict(trial.violations),
        user_attrs={
            CARRIED: source,
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
