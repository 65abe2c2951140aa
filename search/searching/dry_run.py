"""A search up to its first trial, and what it would take from there; nothing of it is kept."""

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from search.pictures import Progress
from search.planning.forecast import GROWTH
from search.planning.hour import DECISION
from search.searching.request import Search
from search.searching.setup import Setup
from search.searching.supervisor import measured_slots
from search.slots.pool import TRAINING
from search.slots.signals import stop_flag
from search.slots.slot_state import SlotError
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
    remaining: int
    slots: int
    images_per_second: float  # of all slots together on the network that was measured
    epochs: int  # of a whole trial
    images: int  # of an epoch
    share_of_epochs: float  # of those of all trials: what pruning leaves
    seconds: float  # for the trials that are left
    retraining_seconds: float  # of `best --retrain` after it, at most
    checkpoints_mb: float  # the final weights of the trials that are left, if all of them complete
    database_mb: float  # that they add
    measured: tuple[str, ...]  # to choose the number of slots
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """What `run --dry-run --json` prints."""
        return {**asdict(self), "disk_mb": self.checkpoints_mb + self.database_mb}


def dry_run(search: Search, *, progress: Progress | None = None, work: str = TRAINING) -> DryRun:
    """Measures as a search would, and forecasts it.

    Neither a study nor a file is made or changed, but for data and weights that must be fetched to be measured.
    Raises what `supervisor.run` does.
    """
    setup = Setup.of(search, progress=progress)
    stored, manifest, split, settled, _ = setup.resumed()
    note = ""
    with stop_flag() as flag, TemporaryDirectory(prefix="cifar-search-") as place:
        images, paths = len(split.training), {"split": Path(place) / "split.npz", "log": Path(place) / "slots.log"}
        split.save(paths["split"])
        try:
            with measured_slots(setup, images=images, shape=manifest.shape, **paths, work=work, flag=flag) as measured:
                forecast, slots = measured.forecast, len(measured.slots)
        except SlotError as error:  # the log that it names is about to go
            log = paths["log"]
            said = log.read_text(encoding="utf-8", errors="replace").rstrip() if log.exists() else ""
            raise type(error)(str(error).replace(f"see {log}", f"it said:\n{said}")) from None
    if settled is None:
        settled, note = setup.fit(manifest, forecast)
    finished = stored.finished if stored else 0
    left = max(0, search.trials - finished)
    parameters = measured.trial.mean_parameters * (GROWTH if forecast.learning else 1.0)
    return DryRun(
        study=setup.name,
        space=setup.space.source,
        storage=masked(setup.url),
        machine=measured.setup.machine.title,
        data=setup.source.title,
        planned=max(search.trials, finished),
        finished=finished,
        remaining=left,
        slots=slots,
        images_per_second=forecast.images_per_second,
        epochs=settled.epochs,
        images=settled.images or forecast.images,
        share_of_epochs=forecast.share(epochs=settled.epochs),
        seconds=forecast.seconds(trials=left, epochs=settled.epochs, images=settled.images),
        retraining_seconds=60 * DECISION[setup.machine.kind],
        checkpoints_mb=left * WEIGHT_BYTES * parameters / 1e6,
        database_mb=left * TRIAL_KB / 1e3,
        measured=measured.lines,
        notes=tuple(filter(None, (note, *measured.notes))),
    )
