"""Checks a study's records, and what lies in its folder, against the rules that must hold; repairs what it can."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.data import DataError
from search.data.split import load
from search.inspecting.audit import Finding, violations_of
from search.inspecting.status import read_status
from search.searching.leftovers import leftovers, sweep
from search.searching.study_folder import StudyFolder
from studies.history import History, State, read_history
from studies.start import put_back_running
from studies.storage import is_owned, owned, storage_url


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a study says of itself, and every rule that does not hold."""

    study: str
    planned: int
    counts: dict[State, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]  # what could not be checked

    def as_json(self) -> dict[str, Any]:
        """What `doctor --json` prints."""
        return {"true": not self.findings, **asdict(self)}


def examine_study(folder: Path, *, storage: str | None = None, study: str | None = None) -> Diagnosis:
    """Checks that study, or else the one that was started last; changes nothing. Raises StudyError, StorageError."""
    name = study or read_status(folder, storage=storage).history.study
    place, url = StudyFolder(folder, name), storage_url(folder, storage)
    # Asked before and after: a search may begin or end meanwhile.
    searching = is_owned(url, study=name)
    history = read_history(name, storage=url)
    searching = searching or is_owned(url, study=name)
    findings, notes = violations_of(history, searching=searching), []
    if not place.path.exists():
        notes.append(f"nothing of the study lies in {place.path}: its files were not checked")
    else:
        if searching:
            notes.append("a search is at work: what is left over was not looked for")
        else:
            findings += [
                Finding(rule=left.rule, trial=left.trial, message=left.message, fixable=True)
                for left in leftovers(place, history)
            ]
        findings += [*_split(place, history), *_checkpoints(place, history)]
    return Diagnosis(
        study=name, planned=history.planned, counts=history.counts, findings=tuple(findings), notes=tuple(notes)
    )


def fix(folder: Path, *, storage: str | None = None, study: str | None = None) -> tuple[str, ...]:
    """Repairs what can be repaired, and says what was done.

    Raises StudyError, StorageError, and LockedError while a search is at work on the study.
    """
    name = read_status(folder, storage=storage, study=study).history.study  # or a database would be made
    url = storage_url(folder, storage)
    with owned(url, study=name) as database:
        waiting = put_back_running(name, storage=database)
        lines = (f"trial {number} waits for the next start" for number in waiting)
        return (*lines, *sweep(StudyFolder(folder, name), read_history(name, storage=url)))


def _split(folder: StudyFolder, history: History) -> Iterator[Finding]:
    path, wanted = folder.split, history.manifest.split_fingerprint
    try:
        found = load(path).fingerprint
        message = f"{path} ({found[:12]}) is not the study's split ({wanted[:12]}); restore it, or start a new study"
    except DataError as error:
        found, message = "", str(error)
    if found != wanted:
        yield Finding(rule="the split is the one that the study was started with", trial=None, message=message)


def _checkpoints(folder: StudyFolder, history: History) -> Iterator[Finding]:
    for trial in history.trials:
        if trial.checkpoint is None or trial.state != "complete" or trial.carried:
            continue
        if wrong := folder.checkpoints(trial.number).verify_final(trial.checkpoint):
            again = f"cifar-search reproduce {trial.number} --study {history.study} --keep"
            yield Finding(
                rule="the checkpoint of a complete trial is the one that it ended with",
                trial=trial.number,
                message=f"{wrong}; its result stands, its weights are lost, and `{again}` trains them again",
            )
