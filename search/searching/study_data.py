"""The images and the split of a study: held against its record, and a lost split made again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from search.data.images import Images
from search.data.sources import Source, find_source
from search.data.split import Split, load, standard_split
from search.errors import DataError
from search.pictures import Progress
from search.searching.study_folder import StudyFolder
from studies import StudyError
from studies.history import History, read_history
from studies.listing import histories
from studies.manifest import Manifest
from studies.start import carried_from
from studies.storage import EmptyStorageError


def source_of(
    starts: Sequence[Mapping[str, str]],
    *,
    data: str | None,
    side: int | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> Source:
    """The data that are named, or else generated ones where the last of these starts had them. Raises DataError.

    Pictures are seen at `side` pixels.
    """
    generated = find_source("synthetic")
    again = data is None and [start.get("data") for start in starts[-1:]] == [generated.title]
    return generated if again else find_source(data, side=side, download=download, progress=progress)


def check_data(manifest: Manifest, *, source: Source, folder: StudyFolder, storage: str) -> tuple[str, ...]:
    """Raises DataError for other images or another split than the study's; says where a lost one is made again."""
    images, study = source.training(), folder.study
    if (found := images.fingerprint) != manifest.data_fingerprint:
        raise DataError(
            f"study {study!r} was searched on other images (SHA-256 {manifest.data_fingerprint[:12]}) "
            f"than {source.title} ({found[:12]}); give the data of the search with --data"
        )
    split = split_of(study, runs=folder.runs, storage=storage, images=images)
    if split.fingerprint != manifest.split_fingerprint:
        problem = "is not the split" if folder.split.exists() else "is missing, and the seed makes another than that"
        digests = f"({split.fingerprint[:12]}, not {manifest.split_fingerprint[:12]})"
        raise DataError(f"{folder.split} {problem} of study {study!r} {digests}; restore it, or start a new study")
    return keep(split, folder=folder)


def split_of(study: str, *, runs: Path, storage: str, images: Images) -> Split:
    """The split in the folder of a study; a lost one as its seed makes it, or that of the study that it continues."""
    if (path := StudyFolder(runs, study).split).exists():
        return load(path)
    manifest = read_history(study, storage=storage).manifest
    split = standard_split(images, seed=manifest.seed)
    source = None if split.fingerprint == manifest.split_fingerprint else carried_from(study, storage=storage)
    with suppress(StudyError):  # it was deleted
        return split_of(source, runs=runs, storage=storage, images=images) if source else split
    return split


def check_free(folder: StudyFolder, split: Split, *, storage: str) -> None:
    """Raises DataError where another split than this, of a new study, lies in its folder.

    Raises StudyError where that may be the folder of a study that has another name now, whose checkpoints would go.
    """
    with suppress(EmptyStorageError):
        for name in _without_folder(storage, split=split, runs=folder.runs) if folder.trials.exists() else ():
            rule = f"{folder.path} is there without a study {folder.study!r}, and study {name!r} without a folder"
            step = f"if it was renamed in the dashboard, give it the name {folder.study} back there"
            raise StudyError(f"{rule}: {step}; else name the new study with --study OTHER")
    if folder.split.exists() and (found := load(folder.split)).fingerprint != split.fingerprint:
        theirs, ours = (f"seed {each.seed} for {len(each):,} images" for each in (found, split))
        rule = f"{folder.split} is the split of {theirs}, and a new study {folder.study!r} has that of {ours}"
        raise DataError(f"{rule}; delete the file if nothing needs it, or name the new study with --study OTHER")


def _without_folder(storage: str, *, split: Split, runs: Path) -> Iterator[str]:
    """The studies on this split of which nothing lies in the folder of runs."""
    for name, study in histories(storage).items():
        same = isinstance(study, History) and study.manifest.split_fingerprint == split.fingerprint
        if same and not (runs / name).exists():
            yield name


def keep(split: Split, *, folder: StudyFolder) -> tuple[str, ...]:
    """Write the split where there is none; what to say of it where it was made again."""
    if folder.split.exists():
        return ()
    folder.path.mkdir(parents=True, exist_ok=True)
    split.save(folder.split)
    return (f"{folder.split} was missing, and is made again from the data and seed {split.seed}: it is the same",)
