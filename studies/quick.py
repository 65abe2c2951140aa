"""Optuna's storage, which reads trials by a few plain statements: ten times as fast as through its object mapper.

Where another version of Optuna has no such methods, its own are used, and only the time is lost.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, or_

from studies.engine import Line
from studies.rows import Row, nothing_thrown_away, read_rows
from studies.tables import TRIALS

_distribution = lru_cache(maxsize=None)(json_to_distribution)  # a study has a few, and every trial names them


class QuickStorage(RDBStorage):
    """Writes as Optuna does, and reads the same trials."""

    def __init__(self, url: str, settings: dict[str, Any], *, line: Line, skip_table_creation: bool) -> None:
        super().__init__(url, settings, skip_table_creation=skip_table_creation)
        self.line = line

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """One trial; KeyError where there is none, as Optuna has it."""
        for trial in self._read(TRIALS.c.trial_id == trial_id):
            return trial
        raise KeyError(trial_id)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        wanted = or_(TRIALS.c.trial_id > trial_id_greater_than, TRIALS.c.trial_id.in_(included_trial_ids))
        trials = self._read((TRIALS.c.study_id == study_id) & wanted)
        return [trial for trial in trials if states is None or trial.state in states]

    def _read(self, which: ColumnElement[bool]) -> list[FrozenTrial]:
        with nothing_thrown_away(), self.scoped_session() as session:
            return [frozen(row) for row in read_rows(session.connection(), which, parameters=True)]


def frozen(row: Row) -> FrozenTrial:
    """Optuna's view of a trial."""
    parameters = sorted(row.parameters)
    distributions = {name: _distribution(text) for _, name, _, text in parameters}
    return FrozenTrial(
        number=row.number,
        trial_id=row.id,
        state=TrialState[row.state],
        value=None,
        values=[value for _, value in sorted(row.values.items())] or None,
        datetime_start=_local(row.started),
        datetime_complete=_local(row.ended),
        params={name: distributions[name].to_external_repr(value) for _, name, value, _ in parameters},
        distributions=distributions,
        user_attrs=row.attributes,
        system_attrs=row.system,
        intermediate_values=row.reports,
    )


def _local(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None) if time else None
