"""A search up to its first trial, and what it would take from there; nothing of it is kept."""

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from search.planning.forecast import GROWTH, Forecast, fitted
from search.searching.request import Search
from search.searching.setup import Setup
from search.searching.supervisor import MeasuredSlots, measured_slots
from search.slots.pool import TRAINING
from search.slots.signals import stop_flag
from studies.storage import masked

WEIGHT_BYTES = 4  # in a checkpoint
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


def dry_run(search: Search, *, retraining: float, work: str = TRAINING) -> DryRun:
    """Measures as a search would, and forecasts it; `retraining` is the time of `best --retrain`, in seconds.

    Neither a study nor a file is made or changed, but for data and weights that must be fetched to be measured.
    Raises what `supervisor.run` does.
    """
    setup = Setup.of(search)
    manifest, split = setup.draft()
    stored = setup.stored()
    settled, note = setup.settled(manifest, stored=stored), ""
    if settled:
        setup.carry(settled, stored=stored)  # refuses what a search would refuse
    with stop_flag() as flag, TemporaryDirectory(prefix="cifar-search-") as place:
        path = Path(place) / "split.npz"
        split.save(path)
        with measured_slots(setup, split=path, log=Path(place) / "slots.log", work=work, flag=flag) as measured:
            forecast = measured.forecast(images=len(split.training))
            slots = len(measured.slots)
    if settled is None:
        settled, note = fitted(manifest, forecast, epochs=setup.epochs, trials=search.trials, minutes=search.minutes)
    finished = stored.finished if stored else 0
    left = max(0, search.trials - finished)
    return DryRun(
        study=setup.name,
        space=setup.space.source,
        storage=masked(setup.url),
        machine=measured.setup.machine.title,
        data=setup.source.title,
        planned=search.trials,
        finished=finished,
        slots=slots,
        images_per_second=forecast.images_per_second,
        epochs=settled.epochs,
        images=settled.images or forecast.images,
        share_of_epochs=forecast.share(epochs=settled.epochs),
        seconds=forecast.seconds(trials=left, epochs=settled.epochs, images=settled.images),
        retraining_seconds=retraining,
        checkpoints_mb=_checkpoints_mb(measured, forecast, trials=left),
        database_mb=left * TRIAL_KB / 1e3,
        measured=measured.lines,
        notes=tuple(filter(None, (note, *measured.notes))),
    )


def _checkpoints_mb(measured: MeasuredSlots, forecast: Forecast, *, trials: int) -> float:
    """The final checkpoints of so many complete trials: the weights, without what little lies beside them."""
    growth = GROWTH if forecast.learning else 1.0
    return trials * WEIGHT_BYTES * growth * measured.trial.mean_parameters / 1e6
