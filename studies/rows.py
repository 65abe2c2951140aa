"""Trials as Optuna's tables hold them, read by a few plain statements: its own way takes ten times as long."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, TableClause, bindparam, delete, insert, select

from studies.tables import ATTRIBUTES, PARAMETERS, REPORTS, SYSTEM_ATTRIBUTES, TRIALS, VALUES, number

FEW = 100  # trials, of which each is named, rather than all that fulfil the condition are sought again
_NAMED = {
    table: select(table).where(table.c.trial_id.in_(bindparam("ids", expanding=True)))  # made once: it takes a while
    for table in (ATTRIBUTES, SYSTEM_ATTRIBUTES, VALUES, REPORTS, PARAMETERS)
}
_key = lru_cache(json.dumps)  # of attributes there are few names


@dataclass(kw_only=True, slots=True)
class Row:
    """One trial."""

    id: int
    number: int
    state: str
    started: datetime | None  # UTC, as all times of Optuna's tables
    ended: datetime | None
    values: dict[int, float] = field(default_factory=dict)  # by objective: accuracy, then a cost if the study has one
    reports: dict[int, float] = field(default_factory=dict)
    parameters: list[tuple[int, str, float, str]] = field(default_factory=list)  # order, name, value, distribution
    attributes: dict[str, Any]
    system: dict[str, Any]


def read_rows(connection: Connection, which: ColumnElement[bool], *, parameters: bool = False) -> list[Row]:
    """The trials that fulfil a condition on TRIALS; without their parameters unless asked for.

    The states are read first: what is finished by then stays as it is, whatever is committed in between.
    """
    trials = connection.execute(select(TRIALS).where(which).order_by(TRIALS.c.trial_id)).all()
    if not trials:
        return []
    ids = [trial.trial_id for trial in trials]

    def of(table: TableClause) -> Iterable[Any]:
        if len(ids) <= FEW:
            return connection.execute(_NAMED[table], {"ids": ids})
        return connection.execute(select(table).where(table.c.trial_id.in_(select(TRIALS.c.trial_id).where(which))))

    attributes, system = (_by_trial(ids, of(table)) for table in (ATTRIBUTES, SYSTEM_ATTRIBUTES))
    found = {
        id: Row(id=id, number=number, state=state, started=start, ended=end, attributes=mine, system=theirs)
        for (id, number, _, state, start, end), mine, theirs in zip(trials, attributes, system, strict=True)
    }
    for id, objective, value, kind in of(VALUES):
        if id in found:
            found[id].values[objective] = number(value, kind)
    for id, step, value, kind in of(REPORTS):
        if id in found:
            found[id].reports[step] = number(value, kind)
    for order, id, name, value, distribution in of(PARAMETERS) if parameters else ():
        if id in found:
            found[id].parameters.append((order, name, value, distribution))
    return list(found.values())


@contextmanager
def nothing_thrown_away() -> Iterator[None]:
    """Keeps Python from looking for garbage among many new objects that all stay: it costs a quarter of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def write_attributes(connection: Connection, table: TableClause, *, id: int, attributes: Mapping[str, Any]) -> None:
    """Sets attributes of a trial or a study, all of them by two statements; Optuna takes four for each.

    Optuna would refuse it for a finished trial: the caller knows that this one is not.
    """
    whose = table.columns[0]
    rows = [{whose.name: id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
    if rows:
        connection.execute(delete(table).where(whose == id, table.c.key.in_(attributes)))
        connection.execute(insert(table), rows)


def _by_trial(ids: Sequence[int], rows: Iterable[tuple[int, str, str]]) -> list[dict[str, Any]]:
    """The attributes of each trial, parsed at once: one by one it takes twice as long."""
    texts: dict[int, list[str]] = {id: [] for id in ids}
    for id, key, value in rows:
        if id in texts:
            texts[id].append(f"{_key(key)}:{value}")
    objects = ("{" + ",".join(text) + "}" for text in texts.values())
    found: list[dict[str, Any]] = json.loads("[" + ",".join(objects) + "]")
    return found
