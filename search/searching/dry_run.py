"""A search up to its first trial, and what it would take from there; nothing of it is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy

from search.planning import trial_length as fitting
from search.planning.forecast import GROWTH, Forecast
from search.searching.setup import Opening, Search
from search.searching.supervisor import MeasuredSlots, grounded
from search.slots.pool import TRAINING
from search.slots.signals import stop_flag
from spaces import difference
from studies.history import History, known_manifest, read_history
from studies.manifest import Manifest, check_same
from studies.storage import masked, reading
from studies.tables import STUDIES

NUMBER = 4  # bytes of a weight in a checkpoint
TRIAL_KB = 5.5  # in SQLite, of a trial of 14 parameters and 4 epochs: 50 of them made a new database 276 KB larger


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a search would be, and what it would take."""

    study: str
    space: str
    storage: str  # its URL, the password masked
    machine: str
    data: str
    planned: int  # trials in total
    finished: int
    slots: int
    images_per_second: float  # of all slots together on the network that was measured
    epochs: int  # of a whole trial
    images: int  # of an epoch
    share_of_epochs: float  # of those of all trials: what pruning leaves
    seconds: float  # for the trials that are left
    retraining_seconds: float  # of `best --retrain` after it, at most
    checkpoints_mb: float  # of the trials that are left, if all of them complete
    database_mb: float  # that they add
    measured: tuple[str, ...]  # to choose the number of slots
    notes: tuple[str, ...]

    @property
    def remaining(self) -> int:
        """Trials that are left."""
        return max(0, self.planned - self.finished)

    def as_json(self) -> dict[str, Any]:
        """What `run --dry-run --json` prints."""
        return {**asdict(self), "remaining": self.remaining, "disk_mb": self.checkpoints_mb + self.database_mb}


def rehearse(search: Search, *, retraining: float, work: str = TRAINING) -> DryRun:
    """Measure as a search would, and forecast it; `retraining` is the time of `best --retrain`, in seconds.

    Neither a study nor a file is made or changed, but for data and weights that must be fetched to be measured.
    Raises what `supervisor.run` does.
    """
    opening = Opening.of(search)
    manifest, split = opening.draft()
    history = _stored(opening)
    known = _known(opening, manifest, history=history)
    with stop_flag() as flag, TemporaryDirectory(prefix="cifar-search-") as place:
        path = Path(place) / "split.npz"
        split.save(path)
        with grounded(opening, split=path, log=Path(place) / "slots.log", work=work, flag=flag) as ground:
            prediction = ground.predict(images=len(split.training))
            slots = len(ground.slots)
    chosen, note = (known, "") if known else fitting.fitted(opening, manifest, prediction)
    finished = history.finished if history else 0
    left = max(0, search.trials - finished)
    return DryRun(
        study=opening.name,
        space=opening.space.source,
        storage=masked(opening.url),
        machine=ground.opening.machine.title,
        data=opening.source.title,
        planned=search.trials,
        finished=finished,
        slots=slots,
        images_per_second=prediction.images_per_second,
        epochs=chosen.epochs,
        images=chosen.images or prediction.images,
        share_of_epochs=prediction.share(epochs=chosen.epochs),
        seconds=fitting.seconds_of(prediction, chosen, trials=left),
        retraining_seconds=retraining,
        checkpoints_mb=_checkpoints_mb(ground, prediction, trials=left),
        database_mb=left * TRIAL_KB / 1e3,
        measured=ground.measured,
        notes=tuple(filter(None, (note, *ground.notes))),
    )


def _checkpoints_mb(ground: MeasuredSlots, prediction: Forecast, *, trials: int) -> float:
    """The final checkpoints of so many complete trials: the weights, without what little lies beside them."""
    growth = GROWTH if prediction.learning else 1.0
    return trials * NUMBER * growth * ground.trial.mean_parameters / 1e6


def _stored(opening: Opening) -> History | None:
    """The study as it stands; None where there is none, or no database. Raises StudyError, StorageError."""
    url = opening.url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        return None
    with reading(url) as connection:
        if not sqlalchemy.inspect(connection).has_table(STUDIES.name):
            return None
    return read_history(opening.name, storage=url) if known_manifest(opening.name, storage=url) else None


def _known(opening: Opening, manifest: Manifest, *, history: History | None) -> Manifest | None:
    """The manifest that the study has or will have; None where its length is still to be found.

    Raises StudyError where the search would be refused.
    """
    known = opening.settled(manifest, stored=history.manifest if history else None)
    if history and known:
        check_same(history.manifest, known, study=opening.name, differences=difference)
    elif known:
        opening.carry(known)
    return known
