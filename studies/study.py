"""A study in which a supervisor takes part: it asks for trials, reports their epochs, and tells how they ended."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self

import optuna
from optuna.trial import Trial, TrialState

from studies import StudyError
from studies.held import Held
from studies.held import TakenError as TakenError  # the study's users know it from here
from studies.history import CARRIED, History, Loss, Outcome, Reader, State, study_attributes
from studies.manifest import Differences, Manifest
from studies.pruners import make_pruner
from studies.samplers import make_sampler
from studies.seat import Seat
from studies.storage import close, open_storage, told
from studies.turn import begun
from studies.warm_start import Carry

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Value = str | int | float | bool
Suggest = Callable[[Trial], Mapping[str, Value]]
"""Draws one candidate's flat values from Optuna's trial, the fixed ones included."""

_BASELINES = "baselines"  # study attribute: their names, set with them in the queue


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
    provenance: Mapping[str, str] = {},
    carry: Carry | None = None,
) -> Study:
    """Creates the study or goes on with it, `trials` being the total. Raises StudyError, StorageError.

    The caller holds the run's lock file. In PostgreSQL supervisors of other machines may take part at the same time;
    in any other database each running trial belongs to a dead process and is made to wait again.
    """
    check_name(name)
    draw = partial(make_sampler, sampler, trials=trials, conditional=conditional)
    first, chosen = draw(seed=0), make_pruner(pruner, trials=trials, epochs=manifest.epochs, cost=manifest.cost)
    database = open_storage(storage)
    try:
        with told(storage):
            inner = optuna.create_study(
                study_name=name, storage=database, sampler=first, pruner=chosen, load_if_exists=True,
                directions=["maximize", "minimize"] if manifest.cost else ["maximize"],
            )  # fmt: skip
            reader = Reader(name, study_id=database.get_study_id_from_name(name))
            sys.audit("cifar_search.study.created", name)
        seat = Seat(inner, storage=database, reader=reader)
        with seat.turn() as connection:
            notes = seat.identify(connection, manifest=manifest, differences=differences)
            notes += seat.carry_over(connection, carry, cost=manifest.cost) if carry else ()
            start = seat.record_start(connection, trials=trials, provenance=provenance)
            # A study of the same seed has had the seeds of the first starts, and perhaps those draws are carried over.
            inner.sampler = draw(seed=manifest.seed_of_start(start + seat.carried(connection)))
            recovered = seat.take_back(connection)
        return Study(seat, trials=trials, manifest=manifest, notes=notes, recovered=recovered)
    except BaseException:
        close(database)
        raise


class Study:
    """Asks and tells; made by open_study, closed by `with`.

    Each method is one transaction, done or not done, and may be called again after an UnreachableError.
    """

    def __init__(
        self, seat: Seat, *, trials: int, manifest: Manifest, notes: Sequence[str], recovered: tuple[int, ...]
    ) -> None:
        self.name = seat.reader.name
        self.trials = trials  # in total: finished, running and waiting
        self.manifest = manifest
        self.notes = tuple(notes)  # what may change since the study was created, and did
        self.recovered = recovered  # numbers of the trials that dead supervisors left, waiting again
        self._seat = seat
        self._asked: dict[int, Asked] = {}
        self._noted: dict[int, dict[str, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._seat.leave()

    def enqueue(self, baselines: Sequence[tuple[str, Mapping[str, Value]]]) -> None:
        """Queues the named values to be tried first, once in a study's life and as far as its trials reach.

        The values are those of the parameters that vary, no others. What was carried over is not tried again.
        """
        seat = self._seat
        with seat.turn() as connection:
            if _BASELINES in study_attributes(connection, seat.reader.study_id):
                return
            free = max(0, self.trials - sum(not trial.carried for trial in seat.reader.trials(connection)))
            carried = [trial.params for trial in seat.study.get_trials(deepcopy=False) if CARRIED in trial.user_attrs]
            new = [(name, values) for name, values in baselines if dict(values) not in carried]
            for name, values in new[:free]:
                seat.study.enqueue_trial(dict(values), user_attrs={"baseline": name})
            seat.study.set_user_attr(_BASELINES, [name for name, _ in baselines])

    def ask(self, suggest: Suggest) -> Asked | None:
        """The next trial: one that waits, or else a new one; None while there is nothing to hand out.

        Trials of supervisors that have died meanwhile wait again, and are handed out here.
        """
        with self._seat.turn() as connection:
            self.recovered += self._seat.take_back(connection)
            if begun(connection, self._seat.reader.study_id) >= self.trials:
                return None
            trial = self._seat.study.ask()
            sys.audit("cifar_search.study.asked", trial.number)
            attributes = trial.user_attrs
            earlier = trial.storage.get_trial(trial._trial_id).intermediate_values
            asked = Asked(
                number=trial.number,
                values=dict(suggest(trial)),
                baseline=attributes.get("baseline"),
                seed=self.manifest.seed_of(trial.number),
                attempt=attributes.get("asked", {}).get("attempt", 0) + 1,
                reported=max(earlier, default=0),
            )
            whose = {"owner": self._seat.owner.uuid, "place": self._seat.owner.host}
            kept = {"values": asked.values, "seed": asked.seed, "attempt": asked.attempt, **whose}
            trial.set_user_attr("asked", kept)  # one attribute, since each is a row to write and to read
        self._asked[asked.number] = asked
        self._noted.pop(asked.number, None)  # what was noted of an attempt that another supervisor took over
        self._seat.mine.add(asked.number)
        sys.audit("cifar_search.study.owned", asked.number)
        return asked

    def report(self, number: int, *, epoch: int, accuracy: float, **measured: float | None) -> bool:
        """Keeps the validation accuracy after an epoch, counted from 1, and says whether to prune the trial.

        An epoch that is stored already gets the same answer again. Never prunes after the last epoch, where nothing is
        left to save. Whatever else was measured joins the trial's curve.
        """
        row = {"epoch": epoch, "validation_accuracy": accuracy, **measured}
        noted = self._noted.get(number, {})
        with self._seat.held(number) as trial:
            prune = trial.report(row, epoch=epoch, accuracy=accuracy, last=self.manifest.epochs, **noted)
        self._noted.pop(number, None)
        sys.audit("cifar_search.study.reported", number)
        return prune

    def note(self, number: int, **numbers: float) -> None:
        """Keeps numbers of a running trial (parameters, flops, ...); they are stored with what is told of it next.

        A NaN or an infinity is left out.
        """
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        self._noted[number] = self._noted.get(number, {}) | finite

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
        self.note(number, **numbers)
        kept = {"checkpoint": checkpoint} if checkpoint else {}
        with self._ending(number) as (trial, noted):
            accuracy = dict(trial.record.epochs).get(self.manifest.epochs, math.nan)
            if not math.isfinite(accuracy):
                raise StudyError(
                    f"a complete trial has a finite accuracy after epoch {self.manifest.epochs}, "
                    f"and trial {number} of study {self.name!r} reported {dict(trial.record.epochs)}: report it first"
                )
            costs = [noted[self.manifest.cost]] if self.manifest.cost else []
            trial.end(TrialState.COMPLETE, [accuracy, *costs], violations=violations, **kept, **noted)

    def prune(self, number: int, *, violations: Mapping[str, float] | None = None) -> None:
        """Ends a trial that `report` said to prune."""
        with self._ending(number) as (trial, noted):
            trial.end(TrialState.PRUNED, violations=violations, **noted)

    def fail(
        self, number: int, *, outcome: Outcome, message: str, violations: Mapping[str, float] | None = None
    ) -> None:
        """Ends a trial that could not be finished, so that the sampler learns to keep away.

        `violations` say by how much, relative to the limit; without a positive one the outcome itself counts as 1.
        """
        with self._ending(number) as (trial, noted):
            trial.fail(outcome=outcome, message=message, violations=violations, **noted)

    def lose(self, number: int, *, outcome: Outcome, message: str) -> bool:
        """Says that a slot died, hung or took too long: the trial waits again, or fails at its third loss (False)."""
        loss = Loss(attempt=self._asked[number].attempt, outcome=outcome, message=message)
        with self._ending(number) as (trial, noted):
            return trial.lose(loss, **noted)

    def put_back(self, number: int) -> None:
        """Makes a running trial wait again, through no fault of its own: the next ask returns it as it was."""
        with self._ending(number) as (trial, _):
            trial.put_back()

    def beat(self) -> None:
        """Shows the other supervisors that this one lives, and looks at theirs; to be called often."""
        self._seat.beat()

    def annotate(self, markdown: str) -> None:
        """Sets the study's note in the dashboard."""
        from optuna_dashboard import save_note

        with self._seat.turn():
            save_note(self._seat.study, markdown)

    def history(self) -> History:
        """The trials as plain data, as they stand now."""
        return self._seat.history()

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

    @property
    def done(self) -> bool:
        """All trials are finished."""
        return self.finished >= self.trials

    @property
    def others(self) -> tuple[int, ...]:
        """Numbers of the trials that other supervisors run; when one dies, `ask` hands its trials out here."""
        trials = self.history().trials
        return tuple(
            trial.number for trial in trials if trial.state == "running" and trial.owner != self._seat.owner.uuid
        )

    @contextmanager
    def _ending(self, number: int) -> Iterator[tuple[Held, dict[str, float]]]:
        """A trial that this process has no more to do with afterwards, and what was noted of it."""
        with self._seat.held(number) as trial:
            yield trial, self._noted.get(number, {})
        self._asked.pop(number, None)
        self._seat.mine.discard(number)
        self._noted.pop(number, None)
        sys.audit("cifar_search.study.told", number)
