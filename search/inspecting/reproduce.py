"""Trains a trial again from its record alone, and says whether the numbers are the same."""

import math
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from search.candidate import from_values
from search.data.split import load
from search.inspecting.request import ReproduceRequest
from search.inspecting.status import read_status
from search.measuring.seed_spread import seed_spread
from search.searching.provenance import INSTRUCTIONS, Difference, differences_of, provenance, start_of
from search.searching.study_data import check_data, source_of
from search.searching.study_folder import StudyFolder
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Event, Failed, Finished, Job, Unsaved
from search.slots.machine import DeviceError, Machine, survey
from search.slots.pool import TRAINING, Pool
from search.slots.signals import InterruptedSearch, stop_flag
from search.slots.slot_state import SlotError
from search.training.result import EpochResult
from studies import StudyError
from studies.algorithms import rungs
from studies.history import History, TrialRecord
from studies.manifest import check_format
from studies.storage import storage_url

BAND = 3  # standard deviations between seeds
NUMBERS = ("train_loss", "validation_loss", "validation_accuracy")  # that are compared

Reproducibility = Literal["equal", "within the band", "outside the band", "different"]


@dataclass(frozen=True, kw_only=True)
class ReproductionStart:
    """What will be trained again, and on what."""

    study: str
    trial: int
    machine: str
    data: str
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ComparedEpoch:
    """The numbers of one epoch, as they were stored and as they are now; None where one was not stored."""

    epoch: int
    then: dict[str, float | None]
    now: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The verdict on a trial; accuracies are shares of 1."""

    study: str
    trial: int
    verdict: Reproducibility
    reason: str
    differences: tuple[Difference, ...]
    epochs: tuple[ComparedEpoch, ...]
    band: float  # of the validation accuracy after the last epoch
    same_checkpoint: bool | None  # None where the record has none
    kept: bool | None = None  # whether the trial has its final checkpoint again; None where nobody asked for it

    @property
    def confirmed(self) -> bool:
        """The record may be relied on."""
        return self.verdict in ("equal", "within the band")

    def as_json(self) -> dict[str, Any]:
        """What `reproduce --json` prints."""
        return {"unit": "fraction", **asdict(self)}


ReproductionStep = ReproductionStart | ComparedEpoch | Reproduction
End = Finished | Failed | None  # None: it was stopped where the record ends
Comparison = Generator[ComparedEpoch, None, tuple[list[ComparedEpoch], End]]


def reproduce(request: ReproduceRequest, *, work: str = TRAINING) -> Iterator[ReproductionStep]:
    """Trains a trial again on one slot, as far as it went, and compares every epoch.

    Raises StudyError, StorageError, DataError, DeviceError, SlotError, and InterruptedSearch at a signal.
    """
    history = read_status(request.folder, storage=request.storage, study=request.study).history
    check_format(history.manifest, study=history.study, command="cifar-search reproduce")
    record, folder = find_record(history, request.trial), StudyFolder(request.folder, history.study)
    then = start_of(record, starts=history.starts)
    source = source_of([then], data=request.data, side=history.manifest.shape.side)
    url = storage_url(request.folder, request.storage)
    notes = check_data(history.manifest, source=source, folder=folder, storage=url)
    machine = _machine(record, then, device=request.device)
    now = provenance(machine, source=source, manifest=history.manifest)
    differences = differences_of(record, then=then, now=now, starts=history.starts)
    of: dict[str, Any] = {"study": history.study, "trial": record.number, "differences": differences}
    yield ReproductionStart(**of, machine=machine.title, data=source.title, notes=notes)
    images = len(load(folder.split).validation)
    band = BAND * math.sqrt(2) * seed_spread(images)
    settings = machine.settings(source, split=folder.split)
    with TemporaryDirectory(prefix="cifar-search-") as place:
        store = CheckpointStore(Path(place))
        job = Job(
            name=f"trial {record.number}",
            number=record.number,
            candidate=from_values(record.values),
            seed=record.seed or 0,
            epochs=history.manifest.epochs,
            epoch_images=history.manifest.images,
            validated=rungs(then.get("pruner", ""), epochs=history.manifest.epochs),
            checkpoints=store.folder,
            patience=math.inf,  # somebody waits for it, and nobody knows how long an epoch takes here
        )
        with stop_flag() as flag, Pool(settings, log=folder.reproduce_log, work=work) as slots:
            events = slots.run_all([job], interrupted=lambda: flag.signal is not None)
            epochs, end = yield from compare_epochs(record, (event for _, event in events))
        if flag.signal is not None:
            raise InterruptedSearch(flag.signal)
        same = end.checkpoint_sha256 == record.checkpoint if record.checkpoint and isinstance(end, Finished) else None
        exact = machine.kind == "cpu" and not differences
        verdict, reason = judge(record, epochs, end, same_checkpoint=same, band=band, exact=exact)
        if differences and verdict != "equal":
            reason += f"; not as it was then: {', '.join(each.name for each in differences)}"
        elif verdict == "different" and INSTRUCTIONS not in then:
            reason += "; the record does not hold its instruction sets"
        if request.keep and same:
            folder.checkpoints(record.number).finish(store.final())
    yield Reproduction(
        **of,
        verdict=verdict,
        reason=reason,
        epochs=tuple(epochs),
        band=band,
        same_checkpoint=same,
        kept=bool(same) if request.keep else None,
    )


def find_record(history: History, number: int) -> TrialRecord:
    """The record of a trial that was trained and has ended. Raises StudyError."""
    record = history.trial(number)
    if not record.finished:
        raise StudyError(f"trial {number} is {record.state}, and only what has ended can be compared; wait for its end")
    if not record.values or record.seed is None or not (record.curve or record.outcome == "diverged"):
        reason = f" ({': '.join(filter(None, (record.outcome, record.message)))})" if record.message else ""
        raise StudyError(
            f"trial {number} is {record.state}{reason} and has no epoch to compare; "
            "name another, `cifar-search status` shows the best"
        )
    return record


def compare_epochs(record: TrialRecord, events: Iterable[Event]) -> Comparison:
    """The epochs beside the stored ones, and the training's end; a pruned trial only as far as its record goes."""
    epochs: list[ComparedEpoch] = []
    # A training that ended by itself must end there again: one epoch more shows that it does not.
    most = len(record.curve) + (record.state == "complete" or record.outcome == "diverged")
    for event in events:
        if isinstance(event, Finished | Failed):
            return epochs, event
        if isinstance(event, Unsaved):
            raise SlotError(event.message)
        if isinstance(event, EpochResult) and event.validation_accuracy is not None:
            stored: Mapping[str, Any] = next((row for row in record.curve if row["epoch"] == event.epoch), {})
            then, now = ({name: row.get(name) for name in NUMBERS} for row in (stored, vars(event)))
            epochs.append(ComparedEpoch(epoch=event.epoch, then=then, now=now))
            yield epochs[-1]
            if len(epochs) >= most:
                break
    return epochs, None


def judge(
    record: TrialRecord, rows: list[ComparedEpoch], end: End, *, same_checkpoint: bool | None, band: float, exact: bool
) -> tuple[Reproducibility, str]:
    """The verdict and its reason; `exact` where no difference between then and now excuses another number."""
    count, stored = len(rows), len(record.curve)
    # How each training ended, in words that are equal where it ended the same way.
    before = f"diverged ({record.message})" if record.outcome == "diverged" else "ended"
    after = f"{end.outcome} ({end.message})" if isinstance(end, Failed) else "ended"
    if before != after or count != stored:
        reason = f"then {before} after {stored} epochs, now {after} after {count}"
        return ("different" if exact else "outside the band"), reason
    first = next((row for row in rows if row.then != row.now), None)
    if first is None and same_checkpoint is not False:
        weights = ", and so is the final checkpoint" if same_checkpoint else ""
        return "equal", f"every number of {count} epochs is the same to the last bit{weights}"
    if exact:
        where = f"epoch {first.epoch}" if first else "the final checkpoint"
        cause = "the record was changed, or the machine computes wrongly"
        return "different", f"the numbers part in {where}, though nothing differs that could explain it: {cause}"
    then, now = (numbers["validation_accuracy"] or 0.0 for numbers in (rows[-1].then, rows[-1].now))
    reason = f"{100 * abs(now - then):.2f} points apart in the end, where {100 * band:.2f} are usual"
    return ("within the band" if abs(now - then) <= band else "outside the band"), reason


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
