"""One supervisor at a time hands out trials, and takes back those of dead ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from optuna.trial import TrialState
from sqlalchemy import Connection, delete, func, select

from studies import StudyError
from studies.history import CARRIED, Reader, TrialRecord, record_of
from studies.owner import PREFIX
from studies.quick import QuickStorage
from studies.rows import Row
from studies.storage import transaction
from studies.tables import ATTRIBUTES, STUDIES, STUDY_ATTRIBUTES, TRIALS


@contextmanager
def turn(storage: QuickStorage, *, reader: Reader) -> Iterator[Connection]:
    """A transaction that overlaps with no other supervisor's turn: what it counts stays true to its end.

    Its lock is the study's row, which Optuna itself locks to number a new trial, and in SQLite the whole file. It ends
    with the transaction or with the process's connection, however the process ends. Sharing a study between machines
    is tested with PostgreSQL; anywhere else the lock file of the run keeps a second supervisor away. Raises StudyError.
    """
    with transaction(storage) as connection:
        if lock_study(connection, reader.name) != reader.study_id:
            raise StudyError(f"study {reader.name!r} was deleted meanwhile: `cifar-search run` starts it anew")
        yield connection


def lock_study(connection: Connection, name: str) -> int | None:
    """Keeps a study's row to this transaction; returns its id, None where there is no such study."""
    row = select(STUDIES.c.study_id).where(STUDIES.c.study_name == name)
    return connection.scalar(row.with_for_update())


def begun(connection: Connection, study_id: int) -> int:
    """How many trials of a study are not waiting, without those that were carried over from another one."""
    carried = select(ATTRIBUTES.c.trial_id).where(ATTRIBUTES.c.key == CARRIED)
    ours = (TRIALS.c.study_id == study_id) & TRIALS.c.trial_id.not_in(carried)
    counts = select(TRIALS.c.state, func.count()).where(ours).group_by(TRIALS.c.state)
    return sum(count for state, count in connection.execute(counts) if state != TrialState.WAITING.name)


def hold(connection: Connection, *, reader: Reader, number: int) -> Row:
    """A trial as it stands, which nobody else can change until the transaction ends."""
    lock = select(TRIALS.c.trial_id).where(TRIALS.c.trial_id == reader.id(connection, number))
    connection.execute(lock.with_for_update())
    return reader.row(connection, number)  # after the lock, since another process may have held it before


def wait(storage: QuickStorage, *, id: int, number: int) -> None:
    """Lets a running trial wait again; its number, values, seed and reports stay."""
    sys.audit("cifar_search.study.putting_back", number)
    storage.set_trial_state_values(id, state=TrialState.WAITING)


def take_back(
    connection: Connection, *, storage: QuickStorage, reader: Reader, dead: Callable[[TrialRecord], bool]
) -> tuple[int, ...]:
    """Puts back every running trial that belongs to no living supervisor; to be called in a turn."""
    taken = []
    for trial in reader.trials(connection):
        if trial.state == "running" and dead(trial):
            row = hold(connection, reader=reader, number=trial.number)
            now = record_of(row)
            if (now.state, now.owner) == (trial.state, trial.owner):  # else it has come to life for a last word
                wait(storage, id=row.id, number=row.number)
                taken.append(row.number)
    return tuple(taken)


def strike(connection: Connection, *, reader: Reader, supervisors: Iterable[str]) -> None:
    """Takes supervisors off the study's list: they have left, or are dead."""
    keys = [f"{PREFIX}{uuid}" for uuid in supervisors]
    table = STUDY_ATTRIBUTES
    connection.execute(delete(table).where(table.c.study_id == reader.study_id, table.c.key.in_(keys)))
