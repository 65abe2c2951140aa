"""Carries trained weights to other images: a search of how, then a comparison with training from scratch."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from search.candidate import Candidate, from_values
from search.data.split import load as load_split
from search.deciding.request import TransferRequest
from search.deciding.statistics import Interval, seed_half_width
from search.deciding.trainings import TrainedEpoch, epochs_file, kept_epochs, seed_from, train_kept
from search.deciding.transfer_start import Start, find_start, space_around
from search.files import write_whole
from search.inspecting.status import best_trial, read_status
from search.searching.progress import Resumed
from search.searching.request import Search
from search.searching.study_data import check_data, source_of
from search.searching.study_folder import StudyFolder, name_of_study
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Job
from search.slots.machine import survey
from search.slots.pool import TRAINING, Pool
from search.slots.signals import stop_flag
from search.slots.slot_state import SlotError
from spaces.writer import space_text
from studies import StudyError
from studies.storage import owned, storage_url

SHARES = (0.05, 0.10, 0.25, 1.0)  # of the training images


@dataclass(frozen=True, kw_only=True)
class Rivals:
    """The transfer beside training from scratch on so many images, each by seed; accuracies are shares of 1."""

    images: int
    epochs: list[int]  # of the transfer and from scratch
    seconds: list[float]  # that they took, the mean over seeds
    accuracies: list[list[float]]  # by seed, of both, on the validation images
    difference: float  # the mean over seeds
    interval: Interval  # of it, Student's t


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the start is worth, on each share of the images; its own training comes on top of these times."""

    study: str
    trial: int
    start: str
    pretraining_seconds: float | None  # None where nobody wrote it down
    validation_images: int
    rows: tuple[Rivals, ...]
    candidates: dict[str, Any]
    file: str


def prepare(request: TransferRequest) -> tuple[Start, Search]:
    """Find the start, and write the space of the search. Raises UsageError, StudyError, StorageError, WeightsError."""
    start = find_start(request)
    name = name_of_study(request.study, space=f"transfer-{Path(request.start).stem}", source=f"--from {request.start}")
    place = StudyFolder(request.folder, name).transfer.absolute()
    file, kept, first = place / "transfer.yaml", place / "start.safetensors", f"# From {start.title}\n"
    if not file.exists():
        place.mkdir(parents=True, exist_ok=True)
        if start.own:  # a copy: the next decision of its study replaces the file
            for suffix in (".json", ".safetensors"):
                old = Path(str(start.architecture["weights"])).with_suffix(suffix)
                write_whole(kept.with_suffix(suffix), old.read_bytes())
        write_whole(file, (first + space_text(space_around(start, kept))).encode())
    elif not file.read_text(encoding="utf-8", errors="replace").startswith(first):
        raise StudyError(f"{file} is not from {start.title}; name the new study with --study OTHER")
    same = ("data", "trials", "minutes", "epochs", "folder", "storage", "slots", "device")
    side = request.image_size or (start.own.images.side if start.own else None)
    asked = {name: getattr(request, name) for name in same}
    return start, Search(**asked, study=name, space=str(file), image_size=side)


def compare(
    request: TransferRequest, start: Start, *, study: str, work: str = TRAINING
) -> Iterator[TrainedEpoch | Resumed | Comparison]:
    """Train the best trial and its rival on each share of the images for the same time, and keep what is found.

    All validation images judge them, once, after the last epoch; the test set stays closed. What is cut off goes on.
    Raises StudyError, StorageError, DataError, DeviceError, SlotError, InterruptedSearch.
    """
    url, folder = storage_url(request.folder, request.storage), StudyFolder(request.folder, study)
    history = read_status(request.folder, storage=request.storage, study=study).history
    best, manifest = best_trial(history), history.manifest
    machine = survey(request.device, slots=request.slots)
    source = source_of(history.starts, data=request.data, side=manifest.shape.side)
    check_data(manifest, source=source, folder=folder, storage=url)
    split, place = load_split(folder.split), folder.transfer / str(best.number)
    rivals = {"transfer": from_values(best.values), "scratch": start.scratch}
    settings, known = machine.settings(source, split=folder.split), place / "speeds.json"
    with owned(url, study=study), stop_flag() as flag, Pool(settings, log=folder.log, work=work) as slots:
        if not known.exists():  # once, or what goes on would have another length than it was begun with
            measured = {name: slots.measure(Job(name=name, candidate=rival)) for name, rival in rivals.items()}
            place.mkdir(parents=True, exist_ok=True)
            write_whole(known, json.dumps(measured).encode())
        speeds, rows = json.loads(known.read_bytes()), []
        for share in SHARES:
            images = max(manifest.shape.classes, round(share * len(split.training)))
            epochs = math.ceil(manifest.epochs / math.sqrt(share))  # of fewer images each is seen more often
            lengths = [epochs, max(1, round(epochs * speeds["scratch"] / speeds["transfer"]))]
            seeds = [seed_from(manifest.seed, "comparison", images, index) for index in range(request.seeds)]
            rows.append([_pair(rivals, images=images, lengths=lengths, seed=seed, place=place) for seed in seeds])
        jobs = [job for pairs in rows for pair in pairs for job in pair]
        left = [replace(job, number=number) for number, job in enumerate(jobs) if len(kept_epochs(job)) != job.epochs]
        _, failures = yield from train_kept(slots, left, phase="comparison", flag=flag)
        if failures:
            raise SlotError(f"a training of the comparison failed: {'; '.join(failures.values())}")
    comparison = Comparison(
        study=study,
        trial=best.number,
        start=start.title,
        pretraining_seconds=start.own and start.own.seconds,
        validation_images=len(split.validation),
        rows=tuple(map(_compared, rows)),
        candidates={name: rival.as_dict() for name, rival in rivals.items()},
        file=str(folder.path / "transfer.json"),
    )
    write_whole(Path(comparison.file), (json.dumps(asdict(comparison), indent=2, allow_nan=False) + "\n").encode())
    for job in jobs:  # its epochs stay: an equal request trains nothing
        CheckpointStore(epochs_file(job).parent).clear()
    yield comparison


def _pair(rivals: Mapping[str, Candidate], *, images: int, lengths: list[int], seed: int, place: Path) -> list[Job]:
    """Both trainings on the same images, with the same seed."""
    return [
        Job(
            name=f"{name} on {images:,} images, seed {seed}",
            candidate=candidate,
            seed=seed,
            epochs=epochs,
            images=images,
            validated=(epochs,),
            checkpoints=place / f"{name}-{images}-{seed}",
        )
        for (name, candidate), epochs in zip(rivals.items(), lengths, strict=True)
    ]


def _compared(pairs: Sequence[Sequence[Job]]) -> Rivals:
    kept = [[kept_epochs(job) for job in pair] for pair in pairs]
    accuracies = [[epochs[-1].validation_accuracy or 0.0 for epochs in pair] for pair in kept]
    differences = [transfer - scratch for transfer, scratch in accuracies]
    mean, half = fmean(differences), seed_half_width(differences)
    first = pairs[0]
    return Rivals(
        images=first[0].images or 0,
        epochs=[job.epochs or 0 for job in first],
        seconds=[fmean(sum(result.seconds for result in pair[place]) for pair in kept) for place in range(2)],
        accuracies=accuracies,
        difference=mean,
        interval=Interval(mean - half, mean + half),
    )
