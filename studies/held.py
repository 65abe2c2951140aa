"""A running trial in the hands of its owner: every change to it is made once, and by nobody else."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.trial import TrialState
from sqlalchemy import Connection

from studies import StudyError
from studies.history import CONSTRAINT, MOST_RETRIES, Loss, Outcome, TrialRecord
from studies.owner import owners
from studies.quick import QuickStorage, frozen
from studies.rows import Row, write_attributes
from studies.tables import ATTRIBUTES, SYSTEM_ATTRIBUTES
from studies.turn import wait


class TakenError(StudyError):
    """A trial that this process does not have any more: another one held it for dead and took the trial over."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A trial as it stands in a transaction, in which nobody else can change it.

    A change that is already stored is not made again: the caller may repeat a call whose answer was lost.
    """

    row: Row
    record: TrialRecord  # the same
    owner: str  # uuid of the supervisor that speaks
    study: optuna.Study
    storage: QuickStorage
    connection: Connection

    def report(
        self, row: Mapping[str, float | None], *, epoch: int, accuracy: float, last: int, **noted: float
    ) -> bool:
        """Keeps an epoch's numbers and says whether to prune; never after the last epoch."""
        self._fence()
        if epoch in dict(self.record.epochs):
            return self.record.stop == epoch
        self._audit("reporting")
        self._keep(curve=[*self.record.curve, dict(row)], **noted)
        self.storage.set_trial_intermediate_value(self.row.id, epoch, accuracy)
        self.row.reports[epoch] = accuracy
        prune = epoch < last and self.study.pruner.prune(self.study, frozen(self.row))
        if prune:
            self._keep(stop=epoch)  # the pruner may answer otherwise when it is asked again
        return prune

    def end(
        self,
        state: TrialState,
        values: Sequence[float] = (),
        /,
        *,
        violations: Mapping[str, float] | None = None,
        **attributes: Any,
    ) -> None:
        """Ends the trial with its accuracy and costs; Optuna gives a pruned one the accuracy last reported."""
        record = self.record
        told = record.accuracy if record.state == "complete" else None
        ours = record.finished and record.owner == self.owner
        if ours and (record.outcome, told) == (attributes.get("outcome"), next(iter(values), None)):
            return
        self._fence()
        self._audit("telling")
        self._keep(**attributes)
        constraints = {f"{CONSTRAINT}{name}": value for name, value in (violations or {}).items()}
        write_attributes(self.connection, SYSTEM_ATTRIBUTES, id=self.row.id, attributes=constraints)
        self.study.tell(record.number, list(values) or None, state=state)

    def fail(
        self, *, outcome: Outcome, message: str, violations: Mapping[str, float] | None = None, **noted: float
    ) -> None:
        """Ends the trial as a violated constraint: Optuna's state for failures would be invisible to the sampler."""
        violations = dict(violations or {})
        if all(value <= 0 for value in violations.values()):
            violations[outcome] = 1.0
        self.end(TrialState.PRUNED, violations=violations, outcome=outcome, message=message, **noted)

    def lose(self, loss: Loss, **noted: float) -> bool:
        """Counts a loss and lets the trial wait again; fails it, and returns False, where it was lost too often."""
        if any(known.attempt == loss.attempt for known in self.record.losses):
            return not self.record.finished
        self._fence()
        losses = [*self.record.losses, loss]
        self._keep(losses=[asdict(loss) for loss in losses], **noted)
        self._audit("losing")
        if len(losses) <= MOST_RETRIES:
            wait(self.storage, id=self.row.id, number=self.record.number)
            return True
        self.fail(outcome=loss.outcome, message=f"{loss.outcome} {len(losses)} times: {loss.message}")
        return False

    def put_back(self) -> None:
        """Lets the trial wait again, with its number, values, seed and reports."""
        if not (self.record.state == "waiting" and self.record.owner == self.owner):
            self._fence()
            wait(self.storage, id=self.row.id, number=self.record.number)

    def _fence(self) -> None:
        record = self.record
        if record.state == "running" and record.owner == self.owner:
            return
        taker = "someone" if record.owner == self.owner else owners(self.study.user_attrs).get(record.owner or "")
        raise TakenError(
            f"trial {record.number} was taken from this process, which seemed dead, by {taker or 'one that has left'}; "
            f"it is {record.state} there, and goes on without what was measured here since"
        )

    def _keep(self, **attributes: Any) -> None:
        write_attributes(self.connection, ATTRIBUTES, id=self.row.id, attributes=attributes)

    def _audit(self, point: str) -> None:
        sys.audit(f"cifar_search.study.{point}", self.record.number)
