"""Every opening of the test set, a line that is added and never changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import sqlalchemy
from optuna.storages import RDBStorage

from studies.history import find_study
from studies.storage import opened

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
    with opened(storage) as database:
        study_id = find_study(name, storage=database)
        # Optuna can only set an attribute, which would overwrite; the table itself refuses a second row of one key.
        table = sqlalchemy.Table("study_user_attributes", sqlalchemy.MetaData(), autoload_with=database.engine)
        while True:
            opening = Opening(
                number=len(_openings(database, study_id)) + 1,
                time=time,
                candidate_trial=candidate_trial,
                weights_sha256=tuple(weights_sha256),
                seeds=tuple(seeds),
            )
            row = {
                "study_id": study_id,
                "key": f"{_PREFIX}{opening.number:04d}",
                "value_json": json.dumps(asdict(opening)),
            }
            try:
                with database.engine.begin() as connection:
                    connection.execute(table.insert().values(row))
            except sqlalchemy.exc.IntegrityError:
                continue  # another process took the number
            return opening


def openings(name: str, *, storage: str) -> tuple[Opening, ...]:
    """The ledger of a study, oldest first. Raises StudyError, StorageError."""
    with opened(storage, read_only=True) as database:
        return _openings(database, find_study(name, storage=database))


def _openings(database: RDBStorage, study_id: int) -> tuple[Opening, ...]:
    attributes = database.get_study_user_attrs(study_id)
    lines = [value for key, value in sorted(attributes.items()) if key.startswith(_PREFIX)]
    return tuple(
        Opening(**{**line, "weights_sha256": tuple(line["weights_sha256"]), "seeds": tuple(line["seeds"])})
        for line in lines
    )
