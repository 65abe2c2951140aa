"""Every opening of the test set, a line that is added and never changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, insert

from studies.history import find_study, study_attributes
from studies.storage import opened, reading, transaction
from studies.tables import STUDY_ATTRIBUTES
from studies.turn import lock_study

_PREFIX = "test_opening_"  # study attribute: test_opening_0001, ...


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening of the test set."""

    number: int  # from 1
    time: str  # UTC, ISO 8601
    candidate_trial: int
    weights_sha256: tuple[str, ...]  # of the weights that were tested, one per seed
    seeds: tuple[int, ...]


def record_opening(
    name: str, *, storage: str, candidate_trial: int, weights_sha256: Sequence[str], seeds: Sequence[int]
) -> Opening:
    """Adds a line to the ledger of a study; to be called before the test images are read. Raises StudyError."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    with opened(storage) as database, transaction(database) as connection:
        study_id = find_study(name, connection=connection)
        lock_study(connection, name)  # two openings at once get a number each
        opening = Opening(
            number=len(_openings(connection, study_id)) + 1,
            time=time,
            candidate_trial=candidate_trial,
            weights_sha256=tuple(weights_sha256),
            seeds=tuple(seeds),
        )
        # Optuna can only set an attribute, which would overwrite; the table itself refuses a second row of one key.
        row = {"study_id": study_id, "key": f"{_PREFIX}{opening.number:04d}", "value_json": json.dumps(asdict(opening))}
        connection.execute(insert(STUDY_ATTRIBUTES).values(row))
        return opening


def openings(name: str, *, storage: str) -> tuple[Opening, ...]:
    """The ledger of a study, oldest first. Raises StudyError, StorageError."""
    with reading(storage) as connection:
        return _openings(connection, find_study(name, connection=connection))


def _openings(connection: Connection, study_id: int) -> tuple[Opening, ...]:
    attributes = study_attributes(connection, study_id)
    lines = [value for key, value in sorted(attributes.items()) if key.startswith(_PREFIX)]
    return tuple(
        Opening(**{**line, "weights_sha256": tuple(line["weights_sha256"]), "seeds": tuple(line["seeds"])})
        for line in lines
    )
