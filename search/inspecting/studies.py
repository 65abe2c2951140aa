"""What studies lie in a folder of runs or in a database, and the removal of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from search.searching.study_folder import StudyFolder
from search.text import counts
from studies import StudyError
from studies.history import History, State, read_history
from studies.listing import delete, histories
from studies.storage import masked, storage_url


@dataclass(frozen=True, kw_only=True)
class StudyLine:
    """One study; of one that another program made nothing is known but its trials."""

    study: str
    space: str | None = None
    trials: Mapping[State, int]
    best: float | None = None  # by the metric of the study, a share of 1
    disk_mb: float = 0.0  # of its folder
    started: str | None = None  # last, UTC


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All studies, by name."""

    storage: str  # its URL, the password masked
    studies: tuple[StudyLine, ...]


def list_studies(folder: Path, *, storage: str | None = None) -> Listing:
    """The studies of that database, with what lies of them in the folder. Raises StorageError."""
    url = storage_url(folder, storage)
    lines = (_line(name, found, folder=folder / name) for name, found in histories(url).items())
    return Listing(storage=masked(url), studies=tuple(lines))


def delete_study(folder: Path, *, study: str, confirm: str | None, storage: str | None = None) -> str:
    """Removes a study of ours with its folder, where `confirm` is its name too; returns what went.

    Raises StudyError, LockedError while a search is at work on it, StorageError, OSError.
    """
    url, place = storage_url(folder, storage), StudyFolder(folder, study).path
    history = read_history(study, storage=url)
    what = f"its trials ({counts(history.counts)}), {_megabytes(place):.1f} MB in {place}"
    if confirm != study:
        step = f"the same command with --confirm {study} does it"
        raise StudyError(f"this would delete study {study!r} of {masked(url)} for good: {what}; {step}")
    delete(study, storage=url, folder=place, runs=folder)
    return f"deleted study {study} of {masked(url)}: {what}"


def _line(name: str, found: History | int, *, folder: Path) -> StudyLine:
    if not isinstance(found, History):
        return StudyLine(study=name, trials={"foreign": found})
    return StudyLine(
        study=name,
        space=found.manifest.space_name,
        trials=found.counts,
        best=found.best.accuracy if found.best else None,
        disk_mb=_megabytes(folder),
        started=found.starts[-1].get("time") if found.starts else None,
    )


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6
