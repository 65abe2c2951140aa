"""Every opening of the test set, a line that is added and never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from optuna.storages import RDBStorage

from studies.history import load_study
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
    name: str, *, storage: RDBStorage, candidate_trial: int, weights_sha256: Sequence[str], seeds: Sequence[int]
) -> Opening:
    """Adds a line to the ledger of a study, before the test images are read. Raises StudyError.

    `storage` comes from `storage.owned`, so that no other process adds a line at the same time.
    """
    study = load_study(name, storage=storage)
    opening = Opening(
        number=len(_openings(study.user_attrs)) + 1,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        candidate_trial=candidate_trial,
        weights_sha256=tuple(weights_sha256),
        seeds=tuple(seeds),
    )
    study.set_user_attr(f"{_PREFIX}{opening.number:04d}", asdict(opening))
    return opening


def openings(name: str, *, storage: str) -> tuple[Opening, ...]:
    """The ledger of a study, oldest first. Raises StudyError, StorageError."""
    with opened(storage, read_only=True) as database:
        return _openings(load_study(name, storage=database).user_attrs)


def _openings(attributes: Mapping[str, Any]) -> tuple[Opening, ...]:
    lines = [value for key, value in sorted(attributes.items()) if key.startswith(_PREFIX)]
    return tuple(
        Opening(**{**line, "weights_sha256": tuple(line["weights_sha256"]), "seeds": tuple(line["seeds"])})
        for line in lines
    )
