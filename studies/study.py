"""A study that this process owns: it asks for trials, reports their epochs, and tells how they ended."""

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from studies import StudyError
from studies.algorithms import BASELINE, SUITS, Named, chosen
from studies.history import (
    MOST_RETRIES,
    PLANNED,
    Asked,
    History,
    Loss,
    Outcome,
    TrialRecord,
    best_note,
    history_of,
    record_of,
)
from studies.manifest import Manifest
from studies.storage import translated

Value = str | int | float | bool
Suggest = Callable[[Any], Mapping[str, Value]]
"""Draws one candidate's flat values from a trial of Optuna's, the fixed ones included."""
Misfits = Callable[[Mapping[str, Any]], Sequence[str]]
"""A sentence for each value that was queued, in the form that Optuna stores, and that the space does not hold."""

SPARED_EVERY = 40  # one trial in so many is trained to its end whatever the pruner says
SPARED = "spared"  # trial attribute: the last epoch after which it would have been pruned


class EndedElsewhereError(StudyError):
    """A trial that another program ended while it was trained here, such as by the dashboard's button."""


class Study:
    """Asks and tells. Made by `open_study`.

    Each method may be called again after an UnreachableError: what is stored already is not stored twice.
    """

    def __init__(
        self, study: optuna.Study, storage: RDBStorage, url: str, manifest: Manifest, start: int, notes: tuple[str, ...]
    ) -> None:
        self.name, self.manifest = study.study_name, manifest
        self.trials: int = study.user_attrs[PLANNED]  # in total: finished, running and waiting
        self.notes = notes  # what may change since the study was created, and did
        self._study, self._storage, self._url, self._start = study, storage, url, start
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self.refused: list[int] = []  # trials that `ask` failed by name, until somebody tells of them
        self._running: dict[int, Trial] = {}
        self._ids: dict[int, int] = {}  # Optuna's, by trial number: they never change, and each costs a query
        self.recovered = self.recover()  # trials that an earlier process left running: they wait again

    def enqueue(
        self,
        baselines: Sequence[Named],
        *,
        first: Collection[str] = (),
        suits: Mapping[str, int] = {},
    ) -> tuple[str, ...]:
        """Queues the named values to be tried first: each once, and as far as the study's trials reach.

        `suits` are the epochs that they are the best known for, by name. What was carried over, or has another name, is
        not tried again. Where not all can be tried, those named in `first` are; returns which of these need no trial.
        """
        with self._stored():
            trials = self._study.get_trials(deepcopy=False)
            queued = {str(trial.user_attrs.get(BASELINE)) for trial in trials}
            tried = [trial.params for trial in trials if record_of(trial).state != "foreign"]
            room = max(0, self.trials - sum(history_of(self._study).counts.values()))
            new, needless = chosen(baselines, queued=queued, tried=tried, first=first, room=room)
            for name, values in new:
                length = {SUITS: suits[name]} if name in suits else {}
                self._study.enqueue_trial(dict(values), user_attrs={BASELINE: name, **length})
        return tuple(needless)

    def ask(self, suggest: Suggest, *, misfits: Misfits = lambda _: ()) -> Asked | None:
        """The next trial: one that waits, or else a new one; None when the study has its trials.

        A trial that another program queued with values outside the space is failed by name, and the next is asked for.
        """
        with self._stored():
            self.recover()
            for _ in range(self.trials - history_of(self._study).begun):
                trial = self._study.ask()
                sys.audit("cifar_search.study.asked", trial.number)
                number, earlier = trial.number, record_of(self._frozen(trial.number))
                try:
                    values = self._values(trial, suggest, misfits if not earlier.attempts else None)
                    break
                except ValueError as error:
                    self.fail(number, outcome="infeasible", message=f"it was queued with what cannot be: {error}")
                    self.refused.append(number)
            else:
                return None
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
        self._running[number] = trial
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
        """Stores what the study maximises after an epoch, counted from 1, and says whether to prune the trial.

        Never after the last epoch, nor the few trials that are spared. Whatever was measured joins the curve.
        """
        with self._stored():
            trial = self._unfinished(number)
            if epoch not in trial.intermediate_values:
                sys.audit("cifar_search.study.reporting", number)
                row = {"epoch": epoch, "validation_accuracy": accuracy, **measured}
                curve = [row for row in record_of(trial).curve if row["epoch"] != epoch]
                self._keep(number, curve=[*curve, row])
                self._storage.set_trial_intermediate_value(self._id(number), epoch, accuracy)
                sys.audit("cifar_search.study.reported", number)
            if epoch >= self.manifest.epochs or not self._study.pruner.prune(self._study, self._frozen(number)):
                return False
            if spared := number % SPARED_EVERY == SPARED_EVERY - 1:
                self._keep(number, **{SPARED: epoch})
            return not spared

    def complete(
        self, number: int, *, violations: Mapping[str, float] = {}, checkpoint: str | None = None, **numbers: float
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
            values = [accuracy, numbers[self.manifest.cost]] if self.manifest.cost else [accuracy]
            kept = {"checkpoint": checkpoint} if checkpoint else {}
            self._end(number, TrialState.COMPLETE, values, violations, **kept, **numbers)

    def prune(self, number: int, *, violations: Mapping[str, float] = {}, **numbers: float) -> None:
        """Ends a trial that `report` said to prune."""
        self._end(number, TrialState.PRUNED, None, violations, **numbers)

    def fail(
        self, number: int, *, outcome: Outcome, message: str, violations: Mapping[str, float] = {}, **numbers: float
    ) -> None:
        """Ends a trial that could not be finished, as a violated constraint, so that the sampler learns to avoid it.

        `violations` say by how much, relative to the limit; without a positive one the outcome itself counts as 1.
        """
        if all(value <= 0 for value in violations.values()):
            violations = {**violations, outcome: 1.0}
        reason: dict[str, Any] = {"outcome": outcome, "message": message}
        self._end(number, TrialState.PRUNED, None, violations, **reason, **numbers)

    def lose(self, number: int, *, outcome: Outcome, message: str) -> bool:
        """Counts a slot that died, hung or took too long: the trial waits again, or fails at its third loss (False)."""
        with self._stored():
            record = record_of(self._frozen(number))
            if record.state == "running":
                losses = [loss for loss in record.losses if loss.attempt != record.attempts]
                losses.append(Loss(attempt=record.attempts, outcome=outcome, message=message))
                self._keep(number, losses=[asdict(loss) for loss in losses])
                sys.audit("cifar_search.study.losing", number)
                self._retry_or_fail(number, losses)
                record = record_of(self._frozen(number))
        self._running.pop(number, None)
        return not record.finished

    def put_back(self, number: int) -> None:
        """Makes a running trial wait again, through no fault of its own: the next ask returns it as it was."""
        with self._stored():
            self._wait(number)
        self._running.pop(number, None)

    def show_best(self, best: TrialRecord) -> None:
        """Sets the study's note in the dashboard, which does not know limits: its best trial within them."""
        from optuna_dashboard import save_note

        with self._stored():
            save_note(self._study, best_note(best, metric=self.manifest.metric))

    def history(self) -> History:
        """The trials as plain data, as they stand now."""
        with self._stored():
            return history_of(self._study)

    def _values(self, trial: Trial, suggest: Suggest, misfits: Misfits | None) -> dict[str, Value]:
        """The values of a trial. Raises ValueError where it was queued with others than the space holds."""
        found = self._frozen(trial.number)
        queued = {**found.params, **found.system_attrs.get("fixed_params", {})} if misfits else {}
        # Asked before anything is drawn: a sampler cannot bear a stored value that its range does not hold.
        problems = misfits(queued) if misfits else ()
        values = {} if problems else dict(suggest(trial))
        if problems or (absent := sorted(queued.keys() - values)):
            raise ValueError("; ".join(problems or [f"{name} is not there beside the other values" for name in absent]))
        return values

    def _retry_or_fail(self, number: int, losses: Sequence[Loss]) -> None:
        """Lets a trial wait again, unless its slots were lost too often."""
        if len(losses) <= MOST_RETRIES:
            self._wait(number)
        else:
            last = losses[-1]
            self.fail(number, outcome=last.outcome, message=f"{last.outcome} {len(losses)} times: {last.message}")

    def _wait(self, number: int) -> None:
        if self._frozen(number).state == TrialState.RUNNING:
            sys.audit("cifar_search.study.putting_back", number)
            # By the storage, since a study cannot: the trial keeps its number, and with it its seed.
            self._storage.set_trial_state_values(self._id(number), state=TrialState.WAITING)

    def _end(
        self, number: int, state: TrialState, values: list[float] | None, violations: Mapping[str, float], **kept: Any
    ) -> None:
        with self._stored():
            if self._frozen(number).state != state:  # else the answer to an earlier call was lost
                self._unfinished(number)
                finite = {key: value for key, value in kept.items() if value == value and value != math.inf}
                self._keep(number, **finite)
                trial = self._running.get(number) or Trial(self._study, self._id(number))
                for name, value in violations.items():
                    if name not in trial.constraints:
                        trial.set_constraint(name, value)
                sys.audit("cifar_search.study.telling", number)
                self._study.tell(number, values, state=state)
        self._running.pop(number, None)
        sys.audit("cifar_search.study.told", number)

    def _unfinished(self, number: int) -> FrozenTrial:
        trial = self._frozen(number)
        if trial.state.is_finished():
            self._running.pop(number, None)
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
        if number not in self._ids:
            self._ids[number] = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        return self._ids[number]

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
