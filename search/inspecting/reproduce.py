"""Trains a trial again from its record alone, and says whether the numbers are the same."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from search.candidate import from_values
from search.data.sources import find_source
from search.data.split import load
from search.inspecting.doctor import checkpoints_of
from search.inspecting.status import read_status
from search.searching.provenance import Difference, check_data, differences_of, provenance, start_of
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Event, Failed, Finished, Job, Setting, Unsaved
from search.slots.machine import DeviceError, Machine, survey
from search.slots.pool import TRAINING, Slots
from search.slots.signals import InterruptedSearch, stop_flag
from search.slots.slot_state import SlotError
from search.training.result import EpochResult
from studies import StudyError
from studies.history import History, TrialRecord

SEED_SPREAD = 0.0015  # standard deviation of the accuracy between seeds on 10,000 images; it shrinks with the root of
SPREAD_IMAGES = 10_000  # the images (arXiv 2304.01910; 0.12 to 0.16 points in published series of 100 to 2,000 runs)
BAND = 3  # standard deviations

Verdict = Literal["equal", "within the band", "outside the band", "different"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for; the command line's options and their defaults."""

    trial: int
    study: str | None = None
    folder: Path = Path("runs")
    storage: str | None = None
    data: str | None = None
    device: str | None = None  # the record's unless given
    keep: bool = False  # put the final checkpoint on the trial's shelf, if it is the one that was there


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What will be trained again, and on what."""

    study: str
    trial: int
    machine: str
    data: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The numbers of an epoch that are compared; None where one was not stored."""

    train_loss: float | None
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One epoch, as it was stored and as it is now."""

    epoch: int
    then: Measured
    now: Measured


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """The verdict on a trial; accuracies are shares of 1."""

    study: str
    trial: int
    verdict: Verdict
    reason: str
    differences: tuple[Difference, ...]
    epochs: tuple[Compared, ...]
    band: float  # of the validation accuracy after the last epoch
    same_checkpoint: bool | None  # None where the record has none
    kept: bool | None  # whether the final checkpoint was put on its shelf; None where nobody asked for it

    @property
    def confirmed(self) -> bool:
        """The record may be relied on."""
        return self.verdict in ("equal", "within the band")

    def as_json(self) -> dict[str, Any]:
        """What `reproduce --json` prints."""
        return {"unit": "fraction", **asdict(self)}


Step = Prepared | Compared | Reproduced


def reproduce(request: Request, *, work: str = TRAINING) -> Iterator[Step]:
    """Train a trial again on one slot, as far as it went, and compare every epoch.

    Raises StudyError, StorageError, DataError, DeviceError, SlotError, and InterruptedSearch at a signal.
    """
    history = read_status(request.folder, storage=request.storage, study=request.study).history
    record = find_record(history, request.trial)
    folder = request.folder / history.study
    then = start_of(record, starts=history.starts)
    generated = find_source("synthetic")
    drawn = then.get("data") == generated.title and request.data is None
    split, source = folder / "split.npz", generated if drawn else find_source(request.data)
    check_data(history.manifest, study=history.study, source=source, split=split)
    machine = _machine(record, then, device=request.device)
    now = provenance(machine, source=source, manifest=history.manifest)
    differences = differences_of(record, then=then, now=now, starts=history.starts)
    yield Prepared(
        study=history.study,
        trial=record.number,
        machine=machine.title,
        data=source.title,
        differences=differences,
    )
    images = len(load(split).validation)
    (setting,) = machine.settings(source, split=split)
    with TemporaryDirectory(prefix="cifar-search-") as place:
        shelf = CheckpointStore(Path(place))
        job = _job(history, record, shelf=shelf.folder)
        again = Again(record=record)
        with closing(_events(job, setting, log=folder / "reproduce.log", work=work)) as events:
            for event in events:
                yield from again.take(event)
                if again.done:
                    break
        judged = again.judged(
            study=history.study,
            differences=differences,
            band=BAND * math.sqrt(2) * seed_spread(min(images, history.manifest.images or images)),
            exact=machine.kind == "cpu" and not differences,
        )
        if request.keep and judged.same_checkpoint:
            checkpoints_of(folder, record.number).finish(shelf.final())
    yield replace(judged, kept=judged.same_checkpoint is True) if request.keep else judged


def seed_spread(images: int) -> float:
    """Standard deviation of a training's accuracy on so many images when only its seed changes, as a fraction."""
    return SEED_SPREAD * math.sqrt(SPREAD_IMAGES / images)


def find_record(history: History, number: int) -> TrialRecord:
    """The record of a trial that was trained and has ended. Raises StudyError."""
    record = history.trial(number)
    if not record.finished:
        raise StudyError(f"trial {number} is {record.state}, and only what has ended can be compared; wait for its end")
    if not record.values or record.seed is None or not (record.curve or record.outcome == "diverged"):
        reason = f" ({record.outcome}: {record.message})" if record.outcome else ""
        raise StudyError(
            f"trial {number} is {record.state}{reason} and has no epoch to compare; "
            "name another, `cifar-search status` shows the best"
        )
    return record


@dataclass(kw_only=True)
class Again:
    """A trial while it is trained again."""

    record: TrialRecord
    epochs: list[Compared] = field(default_factory=list)
    end: Finished | Failed | None = None

    @property
    def done(self) -> bool:
        """As far as the record goes."""
        if self.end is not None or len(self.epochs) > len(self.record.curve):
            return True
        whole = self.record.state == "complete" or self.record.outcome == "diverged"
        return not whole and len(self.epochs) == len(self.record.curve)

    def take(self, event: Event) -> Iterator[Compared]:
        """An epoch is compared; the end is kept. Raises SlotError."""
        match event:
            case EpochResult():
                row = next((row for row in self.record.curve if row["epoch"] == event.epoch), {})
                self.epochs.append(Compared(epoch=event.epoch, then=_measured(row), now=_measured(vars(event))))
                yield self.epochs[-1]
            case Finished() | Failed():
                self.end = event
            case Unsaved():
                raise SlotError(event.message)

    def judged(self, *, study: str, differences: tuple[Difference, ...], band: float, exact: bool) -> Reproduced:
        """The verdict; `exact` where nothing that is known excuses another number."""
        same_checkpoint = None
        if self.record.checkpoint and isinstance(self.end, Finished):
            same_checkpoint = self.end.checkpoint_sha256 == self.record.checkpoint
        verdict, reason = self._verdict(same_checkpoint, band=band, exact=exact)
        return Reproduced(
            study=study,
            trial=self.record.number,
            verdict=verdict,
            reason=reason,
            differences=differences,
            epochs=tuple(self.epochs),
            band=band,
            same_checkpoint=same_checkpoint,
            kept=None,
        )

    def _verdict(self, same_checkpoint: bool | None, *, band: float, exact: bool) -> tuple[Verdict, str]:
        count, stored = len(self.epochs), len(self.record.curve)
        first = next((row for row in self.epochs if row.then != row.now), None)
        if self._ending(now=False) != self._ending(now=True) or count != stored:
            reason = f"then {self._ending(now=False)} after {stored} epochs, now {self._ending(now=True)} after {count}"
            return ("different" if exact else "outside the band"), reason
        if first is None and same_checkpoint is not False:
            weights = ", and so is the final checkpoint" if same_checkpoint else ""
            return "equal", f"every number of {count} epochs is the same to the last bit{weights}"
        if exact:
            where = f"epoch {first.epoch}" if first else "the final checkpoint"
            return "different", (
                f"the numbers part in {where}, though nothing differs that could explain it: "
                "the record was changed, or the machine computes wrongly"
            )
        then, now = (row.validation_accuracy or 0.0 for row in (self.epochs[-1].then, self.epochs[-1].now))
        reason = f"{100 * abs(now - then):.2f} points apart in the end, where {100 * band:.2f} are usual"
        return ("within the band" if abs(now - then) <= band else "outside the band"), reason

    def _ending(self, *, now: bool) -> str:
        """How the training ended, in words that are the same where it ended the same way."""
        if now:
            return f"{self.end.outcome} ({self.end.message})" if isinstance(self.end, Failed) else "ended"
        return f"diverged ({self.record.message})" if self.record.outcome == "diverged" else "ended"


def _events(job: Job, setting: Setting, *, log: Path, work: str) -> Generator[Event, None, None]:
    with stop_flag() as flag, Slots([setting], log=log, work=work) as slots:
        for _, event in slots.run_all([job], leaving=lambda: flag.signal is not None):
            yield event
        if flag.signal is not None:
            raise InterruptedSearch(flag.signal)


def _job(history: History, record: TrialRecord, *, shelf: Path) -> Job:
    assert record.seed is not None, "a trial that was trained has a seed"
    return Job(
        name=f"trial {record.number}",
        number=record.number,
        candidate=from_values(record.values),
        seed=record.seed,
        epochs=history.manifest.epochs,
        images=history.manifest.images,
        shelf=shelf,
        patience=math.inf,  # somebody waits for it, and nobody knows how long an epoch takes here
    )


def _machine(record: TrialRecord, then: Mapping[str, str], *, device: str | None) -> Machine:
    """One slot of this machine, as the trial's was. Raises DeviceError."""
    kind = device or then.get("device")
    try:
        machine = survey(kind, slots=1)
    except DeviceError:
        if device:
            raise
        raise DeviceError(
            f"trial {record.number} was trained on {then.get('device name', kind)}, and no {kind} device is here; "
            "--device cpu trains it on the CPU, where its numbers can only come near"
        ) from None
    precision: Any = then.get("precision", machine.precision)
    return replace(machine, threads=int(then.get("threads", machine.threads)), precision=precision)


def _measured(row: Mapping[str, Any]) -> Measured:
    return Measured(**{name.name: row.get(name.name) for name in fields(Measured)})
