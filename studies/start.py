"""Starts a study, or goes on with one that was started before."""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from studies.algorithms import make_pruner, make_sampler
from studies.history import CARRIED, PLANNED, START, load_study
from studies.manifest import ATTRIBUTE, Differences, Manifest, check_same, stored_manifest
from studies.study import Study
from studies.warm_start import Carry, carry_over


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
    differences: Differences,
    provenance: Mapping[str, str] = {},
    carry: Carry | None = None,
) -> Study:
    """Creates the study or goes on with it; `trials` is the total. Raises StudyError, StorageError.

    `storage` comes from `storage.owned`: no other process works on the study.
    """
    draw = partial(make_sampler, sampler, trials=trials, conditional=conditional)
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
    notes += carry_over(carry, cost=manifest.cost, study=inner) if carry else ()
    start = sum(key.startswith(START) for key in inner.user_attrs) + 1
    inner.set_user_attr(f"{START}{start:04d}", {**provenance, "trials": str(trials)})
    inner.set_user_attr(PLANNED, trials)
    # A study of the same seed has used the seeds of the first starts, and its trials may be carried over.
    carried = sum(CARRIED in trial.user_attrs for trial in inner.get_trials(deepcopy=False))
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
