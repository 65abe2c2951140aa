"""The ledger of a storage: every opening of a test set, by whichever study or baseline."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.storages import RDBStorage

from studies.history import LEDGER, numbered
from studies.manifest import ATTRIBUTE
from studies.storage import EmptyStorageError, opened

EARLIER = "test_opening_"  # study attribute of earlier versions: test_opening_0001, ...


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening of a test set: the answers of some weights on its images."""

    by: str  # "study fast", "baseline mlp"
    trial: int | None = None
    weights_sha256: tuple[str, ...]  # of the weights that were tested, one per seed
    data_sha256: str  # of the test images and labels; where an earlier version recorded it, of the training images
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def title(self) -> str:
        """`study fast, trial 7, 2026-11-28 19:05 UTC`."""
        who = self.by if self.trial is None else f"{self.by}, trial {self.trial}"
        return f"{who}, {self.time[:16].replace('T', ' ')} UTC"


def record(opening: Opening, *, storage: RDBStorage) -> None:
    """Adds an opening, before the test images are answered; the same call may be repeated."""
    ledger = optuna.create_study(study_name=LEDGER, storage=storage, load_if_exists=True)
    # A name for each, which no other writer has: nothing that is stored is read and written again.
    ledger.set_user_attr(f"{opening.time} {opening.by}", asdict(opening))
    sys.audit("cifar_search.study.test_opened", opening.by)


def openings(storage: str, *, test: str, training: str) -> tuple[Opening, ...]:
    """The openings of a test set, oldest first, by the SHA-256 of its images and of the training images beside them.

    Raises StorageError.
    """
    with suppress(EmptyStorageError), opened(storage, read_only=True) as database:
        studies = [(study.study_name, study.user_attrs) for study in database.get_all_studies()]
        lines = {line for study in studies for line in recorded_in(*study) if line.data_sha256 in (test, training)}
        return tuple(sorted(lines, key=lambda line: line.time))
    return ()


def recorded_in(study: str, attributes: Mapping[str, Any]) -> Iterator[Opening]:
    """The lines of the ledger, or those that an earlier version wrote into a study of ours."""
    for line in numbered(attributes, "" if study == LEDGER else EARLIER):
        if study != LEDGER:
            line |= {"by": f"study {study}", "trial": line["candidate_trial"]}
            line |= {"data_sha256": attributes[ATTRIBUTE]["data_fingerprint"]}
        known = {each.name: line[each.name] for each in fields(Opening)}
        yield Opening(**{**known, "weights_sha256": tuple(line["weights_sha256"])})  # JSON knows no tuples
