"""A study that one supervisor owns: it asks for trials, reports their epochs, and tells how they ended."""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from studies import StudyError
from studies.history import PLANNED, History, Outcome, State, history
from studies.manifest import ATTRIBUTE, Differences, Manifest, check_same, stored_manifest
from studies.pruners import make_pruner
from studies.samplers import make_sampler
from studies.storage import close, open_storage

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Value = str | int | float | bool
Suggest = Callable[[Trial], Mapping[str, Value]]
"""Draws one candidate's flat values from Optuna's trial, the fixed ones included."""

_BASELINES = "baselines"  # study attribute: their names, set when all of them are in the queue
_STARTS = "starts"  # study attribute: how often the study was opened


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One trial to run."""

    number: int  # from 0
    values: dict[str, Value]  # flat
    baseline: str | None  # its name, if it was queued by one
    seed: int  # 63 bits, from the study's seed and the number alone


def check_name(name: str) -> None:
    """A name that is safe as a folder's. Raises StudyError."""
    if not NAME.fullmatch(name):
        raise StudyError(f"a study's name is 1 to 64 letters, digits, '.', '_', '-', no sign first, not {name!r}")


def open_study(
    name: str,
    *,
    storage: str,
    sampler: str,
    pruner: str,
    trials: int,
    manifest: Manifest,
    conditional: bool,
    differences: Differences,
) -> Study:
    """Creates the study or resumes it, `trials` being the total. Raises StudyError, StorageError.

    The caller holds the study's lock: trials that are still marked as running belong to a dead process and are put
    back, to be asked again with their number and values.
    """
    check_name(name)
    database = open_storage(storage)
    try:
        known = {study.study_name: study.user_attrs for study in database.get_all_studies()}
        starts = known.get(name, {}).get(_STARTS, 0) + 1
        inner = optuna.create_study(
            study_name=name,
            storage=database,
            direction="maximize",
            load_if_exists=True,
            # Its own at each start: Optuna keeps no sampler state, and the same seed would draw the same values again.
            sampler=make_sampler(
                sampler, seed=_seed(manifest.seed, starts, size=4), trials=trials, conditional=conditional
            ),
            pruner=make_pruner(pruner, trials=trials, epochs=manifest.epochs),
        )
        notes = _identify(inner, manifest, differences=differences)
        inner.set_user_attr(_STARTS, starts)
        inner.set_user_attr(PLANNED, trials)
        return Study(inner, database=database, trials=trials, manifest=manifest, notes=notes)
    except BaseException:
        close(database)
        raise


class Study:
    """Asks and tells; made by open_study, closed by `with`."""

    def __init__(
        self, inner: optuna.Study, *, database: RDBStorage, trials: int, manifest: Manifest, notes: Sequence[str]
    ) -> None:
        self.name = inner.study_name
        self.trials = trials  # in total: finished, running and waiting
        self.manifest = manifest
        self.notes = tuple(notes)  # what may change since the study was created, and did
        self._inner = inner
        self._database = database
        self._id = database.get_study_id_from_name(self.name)
        self._asked: dict[int, Trial] = {}
        self.recovered = self._recover()  # numbers of the trials that a dead process left, waiting again

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        close(self._database)

    def enqueue(self, baselines: Sequence[tuple[str, Mapping[str, Value]]]) -> None:
        """Queues the named values to be tried first, once in a study's life and as far as its trials reach.

        The values are those of the parameters that vary, no others.
        """
        if _BASELINES in self._inner.user_attrs:
            return
        trials = self.history().trials
        queued = {trial.baseline for trial in trials}  # a start that was killed may have queued some
        fresh = [(name, values) for name, values in baselines if name not in queued]
        for name, values in fresh[: max(0, self.trials - len(trials))]:
            self._inner.enqueue_trial(dict(values), user_attrs={"baseline": name})
        self._inner.set_user_attr(_BASELINES, [name for name, _ in baselines])

    def ask(self, suggest: Suggest) -> Asked:
        """The next trial: one that waits, or else a new one. Only while `remaining` is above 0."""
        assert self.remaining > 0, "the study has all its trials"
        trial = self._inner.ask()
        values = dict(suggest(trial))
        seed = _seed(self.manifest.seed, trial.number, size=8) >> 1
        trial.set_user_attr("values", values)
        trial.set_user_attr("seed", seed)
        self._asked[trial.number] = trial
        return Asked(number=trial.number, values=values, baseline=trial.user_attrs.get("baseline"), seed=seed)

    def report(self, number: int, *, epoch: int, accuracy: float, **measured: float | None) -> bool:
        """Keeps the validation accuracy after an epoch, counted from 1, and says whether to prune the trial.

        An epoch that is already stored is skipped. Never prunes after the last epoch, where nothing is left to save.
        Whatever else was measured joins the trial's curve.
        """
        trial = self._trial(number)
        if epoch in self._database.get_trial(trial._trial_id).intermediate_values:
            return False
        row = {"epoch": epoch, "validation_accuracy": accuracy, **measured}
        # A kill may have left this epoch's row without its report.
        earlier = [one for one in trial.user_attrs.get("curve", []) if one["epoch"] < epoch]
        trial.set_user_attr("curve", [*earlier, row])
        trial.report(accuracy, step=epoch)
        return epoch < self.manifest.epochs and trial.should_prune()

    def note(self, number: int, **numbers: float) -> None:
        """Keeps numbers of a running trial (parameters, flops, ...); a NaN or an infinity is left out."""
        for name, value in numbers.items():
            if math.isfinite(value):
                self._trial(number).set_user_attr(name, value)

    def complete(self, number: int, accuracy: float, *, violations: Mapping[str, float] | None = None) -> None:
        """Ends a trial with its validation accuracy; it is feasible when no violation is above 0."""
        self._constrain(number, violations or {})
        self._tell(number, TrialState.COMPLETE, accuracy)

    def prune(self, number: int, *, violations: Mapping[str, float] | None = None) -> None:
        """Ends a trial that `report` said to prune."""
        self._constrain(number, violations or {})
        self._tell(number, TrialState.PRUNED)

    def fail(
        self, number: int, *, outcome: Outcome, message: str, violations: Mapping[str, float] | None = None
    ) -> None:
        """Ends a trial that could not be finished, as a violated constraint: the sampler learns to keep away.

        `violations` say by how much, relative to the limit; without a positive one the outcome itself counts as 1.
        Optuna's own state for failures would be invisible to the sampler.
        """
        trial = self._trial(number)
        trial.set_user_attr("message", message)
        trial.set_user_attr("outcome", outcome)  # from here on the failure is told even if this process dies
        self._constrain(number, violations or {})
        if all(value <= 0 for value in trial.constraints.values()):
            trial.set_constraint(outcome, 1.0)
        self._tell(number, TrialState.PRUNED)

    def put_back(self, number: int) -> None:
        """Makes a running trial wait again: the next ask returns it with its number and values."""
        trial = self._trial(number)
        self._database.set_trial_state_values(trial._trial_id, state=TrialState.WAITING)
        self._asked.pop(number)

    def annotate(self, markdown: str) -> None:
        """Sets the study's note in the dashboard."""
        from optuna_dashboard import save_note

        save_note(self._inner, markdown)

    def history(self) -> History:
        """The trials as plain data, as they stand now."""
        return history(
            self.name, manifest=self.manifest, planned=self.trials, trials=self._inner.get_trials(deepcopy=False)
        )

    @property
    def counts(self) -> dict[State, int]:
        """Number of trials in each state."""
        return self.history().counts

    @property
    def finished(self) -> int:
        """Trials that are complete, pruned or failed."""
        return self.history().finished

    @property
    def remaining(self) -> int:
        """How many more trials may be asked for; those that wait are among them."""
        counts = self.counts
        return max(0, self.trials - sum(counts.values()) + counts["waiting"])

    def _recover(self) -> tuple[int, ...]:
        recovered = []
        for trial in self.history().trials:
            if trial.state == "running" and trial.outcome:  # it died between the outcome and the end of `fail`
                self.fail(trial.number, outcome=trial.outcome, message=trial.message or "")
            elif trial.state == "running":
                self.put_back(trial.number)
                recovered.append(trial.number)
        return tuple(recovered)

    def _trial(self, number: int) -> Trial:
        if number not in self._asked:
            trial_id = self._database.get_trial_id_from_study_id_trial_number(self._id, number)
            self._asked[number] = Trial(self._inner, trial_id)
        return self._asked[number]

    def _constrain(self, number: int, violations: Mapping[str, float]) -> None:
        trial = self._trial(number)
        known = trial.constraints  # from before a kill; Optuna keeps the first and warns at a second
        for name, value in violations.items():
            if name not in known:
                trial.set_constraint(name, value)

    def _tell(self, number: int, state: TrialState, accuracy: float | None = None) -> None:
        self._inner.tell(number, accuracy, state=state)
        self._asked.pop(number, None)


def _identify(inner: optuna.Study, manifest: Manifest, *, differences: Differences) -> tuple[str, ...]:
    # Empty and without a manifest: new, or left by a start that was killed right here.
    fresh = inner.directions == [StudyDirection.MAXIMIZE] and not inner.get_trials(deepcopy=False)
    if ATTRIBUTE in inner.user_attrs or not fresh:
        old = stored_manifest(inner.user_attrs, study=inner.study_name)
        return check_same(old, manifest, study=inner.study_name, differences=differences)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        inner.set_metric_names([manifest.metric])
    inner.set_user_attr(ATTRIBUTE, manifest.as_dict())
    return ()


def _seed(seed: int, index: int, *, size: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:size])
