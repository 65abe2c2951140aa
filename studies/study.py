"""A study that this process owns: it asks for trials, reports their epochs, and tells how they ended."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from studies import StudyError
from studies.dashboard import best_note
from studies.history import (
    CARRIED,
    MOST_RETRIES,
    PLANNED,
    START,
    History,
    Loss,
    Outcome,
    TrialRecord,
    history_of,
    load_study,
    record_of,
)
from studies.manifest import ATTRIBUTE, Differences, Manifest, check_same, stored_manifest
from studies.pruners import make_pruner
from studies.samplers import make_sampler
from studies.storage import translated
from studies.warm_start import Carry, carry_over

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Value = str | int | float | bool
Suggest = Callable[[Trial], Mapping[str, Value]]
"""Draws one candidate's flat values from Optuna's trial, the fixed ones included."""


class EndedElsewhereError(StudyError):
    """A trial that another program ended while it was trained here, such as by the dashboard's button."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One trial to run."""

    number: int  # from 0
    values: dict[str, Value]  # flat
    baseline: str | None  # its name, if it was queued by one
    seed: int  # 63 bits, from the study's seed and the number alone
    attempt: int  # from 1: how often it was asked for
    reported: int  # epochs that are stored of earlier attempts


def check_name(name: str) -> None:
    """Raises StudyError for a name that is not safe as a folder's."""
    if not NAME.fullmatch(name):
        raise StudyError(f"a study's name is 1 to 64 letters, digits, '.', '_', '-', no sign first, not {name!r}")


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
    check_name(name)
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
    study = Study(inner, storage=storage, url=url, trials=trials, manifest=manifest, start=start, notes=notes)
    study.recovered = study.recover()
    return study


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
    study.set_user_attr(ATTRIBUTE, manifest.as_dict())
    return ()


def put_back_running(name: str, *, storage: RDBStorage) -> tuple[int, ...]:
    """Lets every running trial of a study wait again; `storage` is owned. Returns their numbers. Raises StudyError."""
    study = load_study(name, storage=storage)
    study_id = storage.get_study_id_from_name(name)
    numbers = [trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
    for number in numbers:
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        storage.set_trial_state_values(trial_id, state=TrialState.WAITING)
    return tuple(numbers)


class Study:
    """Asks and tells. Made by `open_study`.

    Each method may be called again after an UnreachableError: what is stored already is not stored twice.
    """

    def __init__(
        self,
        study: optuna.Study,
        *,
        storage: RDBStorage,
        url: str,
        trials: int,
        manifest: Manifest,
        start: int,
        notes: Sequence[str],
    ) -> None:
        self.name = study.study_name
        self.trials = trials  # in total: finished, running and waiting
        self.manifest = manifest
        self.notes = tuple(notes)  # what may change since the study was created, and did
        self.recovered: tuple[int, ...] = ()  # trials that an earlier process left running: they wait again
        self._study, self._storage, self._url = study, storage, url
        self._start = start
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._running: dict[int, Trial] = {}
        self._attempts: dict[int, int] = {}

    def enqueue(self, baselines: Sequence[tuple[str, Mapping[str, Value]]]) -> None:
        """Queues the named values to be tried first: each once, and as far as the study's trials reach.

        The values are those of the parameters that vary, no others. What was carried over is not tried again.
        """
        with self._stored():
            trials = self._study.get_trials(deepcopy=False)
            queued = {trial.user_attrs.get("baseline") for trial in trials}
            carried = [trial.params for trial in trials if CARRIED in trial.user_attrs]
            new = [(name, dict(values)) for name, values in baselines if name not in queued]
            free = max(0, self.trials - (len(trials) - len(carried)))
            for name, values in [(name, values) for name, values in new if values not in carried][:free]:
                self._study.enqueue_trial(values, user_attrs={"baseline": name})

    def ask(self, suggest: Suggest) -> Asked | None:
        """The next trial: one that waits, or else a new one; None when the study has its trials.

        A trial whose values the space does not have is failed by name, and the next one is asked for.
        """
        with self._stored():
            self.recover()
            trials = self._study.get_trials(deepcopy=False)
            begun = sum(trial.state != TrialState.WAITING and CARRIED not in trial.user_attrs for trial in trials)
            if begun >= self.trials:
                return None
            trial = self._study.ask()
            sys.audit("cifar_search.study.asked", trial.number)
            number, earlier = trial.number, record_of(self._frozen(trial.number))
            try:
                values = dict(suggest(trial))
            except ValueError as error:
                self.fail(number, outcome="infeasible", message=f"its values are not in the space: {error}")
                return self.ask(suggest)
            asked = Asked(
                number=number,
                values=values,
                baseline=earlier.baseline,
                seed=self.manifest.seed_of(number),
                attempt=earlier.attempts + 1,
                reported=max(dict(earlier.epochs), default=0),
            )
            # One attribute, since each is a row to write and to read.
            kept = {"values": values, "seed": asked.seed, "attempt": asked.attempt, "start": self._start}
            trial.set_user_attr("asked", kept)
        # Only now: a trial whose answer was lost on the way is not known here, and `recover` lets it wait again.
        self._running[number], self._attempts[number] = trial, asked.attempt
        sys.audit("cifar_search.study.owned", number)
        return asked

    def recover(self) -> tuple[int, ...]:
        """Lets every running trial wait again that this process does not run; returns their numbers.

        An earlier process left it so, or the answer to `ask` was lost.
        """
        with self._stored():
            trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            lost = [trial for trial in trials if trial.number not in self._running]
            for trial in lost:
                self._retry_or_fail(trial.number, record_of(trial).losses)
        return tuple(trial.number for trial in lost)

    def report(self, number: int, *, epoch: int, accuracy: float, **measured: float | None) -> bool:
        """Stores the validation accuracy after an epoch, counted from 1, and says whether to prune the trial.

        Never prunes after the last epoch, where nothing is left to save. Whatever else was measured joins the curve.
        """
        with self._stored():
            trial = self._unfinished(number)
            if epoch not in trial.intermediate_values:
                sys.audit("cifar_search.study.reporting", number)
                row = {"epoch": epoch, "validation_accuracy": accuracy, **measured}
                curve = [row for row in trial.user_attrs.get("curve", ()) if row["epoch"] != epoch]
                self._keep(number, curve=[*curve, row])
                self._storage.set_trial_intermediate_value(self._id(number), epoch, accuracy)
                sys.audit("cifar_search.study.reported", number)
            return epoch < self.manifest.epochs and self._study.pruner.prune(self._study, self._frozen(number))

    def complete(
        self,
        number: int,
        *,
        violations: Mapping[str, float] | None = None,
        checkpoint: str | None = None,
        **numbers: float,
    ) -> None:
        """Ends a trial with the accuracy of its last epoch; it is feasible when no violation is above 0.

        `checkpoint` is the SHA-256 of the final one. Raises StudyError where the last epoch was not reported.
        """
        with self._stored():
            epochs = dict(record_of(self._frozen(number)).epochs)
            accuracy = epochs.get(self.manifest.epochs, math.nan)
            if not math.isfinite(accuracy):
                raise StudyError(
                    f"a complete trial has a finite accuracy after epoch {self.manifest.epochs}, "
                    f"and trial {number} of study {self.name!r} reported {epochs}: report it first"
                )
            costs = [numbers[self.manifest.cost]] if self.manifest.cost else []
            kept = {"checkpoint": checkpoint} if checkpoint else {}
            self._end(number, TrialState.COMPLETE, [accuracy, *costs], violations=violations, **kept, **numbers)

    def prune(self, number: int, *, violations: Mapping[str, float] | None = None, **numbers: float) -> None:
        """Ends a trial that `report` said to prune."""
        with self._stored():
            self._end(number, TrialState.PRUNED, None, violations=violations, **numbers)

    def fail(
        self,
        number: int,
        *,
        outcome: Outcome,
        message: str,
        violations: Mapping[str, float] | None = None,
        **numbers: float,
    ) -> None:
        """Ends a trial that could not be finished, as a violated constraint, so that the sampler learns to avoid it.

        `violations` say by how much, relative to the limit; without a positive one the outcome itself counts as 1.
        """
        violations = dict(violations or {})
        if all(value <= 0 for value in violations.values()):
            violations[outcome] = 1.0
        with self._stored():
            told: dict[str, Any] = {"outcome": outcome, "message": message}
            self._end(number, TrialState.PRUNED, None, violations=violations, **told, **numbers)

    def lose(self, number: int, *, outcome: Outcome, message: str) -> bool:
        """Counts a slot that died, hung or took too long: the trial waits again, or fails at its third loss (False)."""
        with self._stored():
            record = record_of(self._frozen(number))
            if record.state == "running":
                attempt = self._attempts[number]
                losses = [loss for loss in record.losses if loss.attempt != attempt]
                losses.append(Loss(attempt=attempt, outcome=outcome, message=message))
                self._keep(number, losses=[asdict(loss) for loss in losses])
                sys.audit("cifar_search.study.losing", number)
                self._retry_or_fail(number, losses)
                record = record_of(self._frozen(number))
        self._forget(number)
        return not record.finished

    def put_back(self, number: int) -> None:
        """Makes a running trial wait again, through no fault of its own: the next ask returns it as it was."""
        with self._stored():
            self._wait(number)
        self._forget(number)

    def show_best(self, best: TrialRecord) -> None:
        """Sets the study's note in the dashboard, which does not know limits: its best trial within them."""
        from optuna_dashboard import save_note

        with self._stored():
            save_note(self._study, best_note(best))

    def history(self) -> History:
        """The trials as plain data, as they stand now."""
        with self._stored():
            return history_of(self._study)

    @property
    def remaining(self) -> int:
        """How many more trials may be asked for; those that wait are among them."""
        counts = self.history().counts
        return max(0, self.trials - sum(counts.values()) + counts["waiting"])

    @property
    def done(self) -> bool:
        """All trials are finished."""
        return self.history().finished >= self.trials

    def _retry_or_fail(self, number: int, losses: Sequence[Loss]) -> None:
        """Lets a trial wait again, unless its slots were lost too often."""
        if len(losses) <= MOST_RETRIES:
            self._wait(number)
            return
        last = losses[-1]
        self.fail(number, outcome=last.outcome, message=f"{last.outcome} {len(losses)} times: {last.message}")

    def _wait(self, number: int) -> None:
        if self._frozen(number).state == TrialState.RUNNING:
            sys.audit("cifar_search.study.putting_back", number)
            # By the storage, since a study cannot: the trial keeps its number, and with it its seed.
            self._storage.set_trial_state_values(self._id(number), state=TrialState.WAITING)

    def _end(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        *,
        violations: Mapping[str, float] | None,
        **attributes: Any,
    ) -> None:
        if self._frozen(number).state != state:  # else the answer to an earlier call was lost
            self._unfinished(number)
            finite = {key: value for key, value in attributes.items() if value == value and value != math.inf}
            self._keep(number, **finite)
            self._constrain(number, violations or {})
            sys.audit("cifar_search.study.telling", number)
            self._study.tell(number, values, state=state)
        self._forget(number)
        sys.audit("cifar_search.study.told", number)

    def _constrain(self, number: int, violations: Mapping[str, float]) -> None:
        trial = self._running.get(number) or Trial(self._study, self._id(number))
        for name, value in violations.items():
            if name not in trial.constraints:
                trial.set_constraint(name, value)

    def _unfinished(self, number: int) -> FrozenTrial:
        trial = self._frozen(number)
        if trial.state.is_finished():
            self._forget(number)
            raise EndedElsewhereError(
                f"trial {number} was ended as {trial.state.name} by another program, such as the dashboard; "
                "what was measured here since is not stored"
            )
        return trial

    def _keep(self, number: int, **attributes: Any) -> None:
        for key, value in attributes.items():
            self._storage.set_trial_user_attr(self._id(number), key, value)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _forget(self, number: int) -> None:
        self._running.pop(number, None)
        self._attempts.pop(number, None)

    @contextmanager
    def _stored(self) -> Iterator[None]:
        """Turns errors of the database into StorageErrors, and says where another program interfered."""
        with translated(self._url):
            try:
                yield
            except UpdateFinishedTrialError as error:
                raise EndedElsewhereError(f"another program ended a trial just now ({error})") from None
            except KeyError:
                if self.name in [study.study_name for study in self._storage.get_all_studies()]:
                    raise
                raise StudyError(
                    f"study {self.name!r} was deleted meanwhile: `cifar-search run` starts it anew"
                ) from None
