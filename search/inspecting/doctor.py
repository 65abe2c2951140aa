"""Checks a study's records, and what lies in its folder, against the rules that must hold; repairs what it can."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.data.split import load
from search.errors import DataError
from search.inspecting.status import name_of, read_status
from search.searching.study_folder import StudyFolder, leftovers, sweep
from studies.history import ENDED_ELSEWHERE, FOREIGN, MOST_RETRIES, History, State, TrialRecord, read_history
from studies.manifest import Manifest
from studies.start import put_back_running
from studies.storage import is_owned, owned, storage_url

SUPERVISED = "a running trial has a living supervisor"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A rule that does not hold."""

    rule: str
    trial: int | None  # None: it is about the study
    message: str
    fixable: bool = False  # by `cifar-search doctor --fix`


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
    url = storage_url(folder, storage)
    name = name_of(study, storage=url)
    place = StudyFolder(folder, name)
    # Asked before and after: a search may begin or end meanwhile.
    searching = is_owned(url, study=name)
    history = read_history(name, storage=url)
    searching = searching or is_owned(url, study=name)
    findings = violations_of(history, searching=searching)
    others = (trial for trial in history.trials if trial.message in (FOREIGN, ENDED_ELSEWHERE))
    notes = [f"trial {trial.number} was {trial.message}" for trial in others]
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
        history, place = read_history(name, storage=url), StudyFolder(folder, name)
        return (*lines, *sweep(place, history), *_restored(place, history, url=url))


def _restored(place: StudyFolder, history: History, *, url: str) -> tuple[str, ...]:
    """Makes a lost split again where the data of the search are at hand, and says so; else it stays a finding."""
    with suppress(DataError):
        if place.path.exists() and not place.split.exists():
            from search.searching.study_data import check_data, source_of  # they import torch, which takes seconds

            source = source_of(history.starts, data=None, side=history.manifest.shape.side, download=False)
            return check_data(history.manifest, source=source, folder=place, storage=url)
    return ()


def violations_of(history: History, *, searching: bool) -> list[Finding]:
    """Every rule that the records break; `searching` says whether a process owns the study now."""
    return [
        *_of_study(history),
        *(
            Finding(rule=rule, trial=trial.number, message=f"trial {trial.number} {text}", fixable=rule == SUPERVISED)
            for trial in history.trials
            for rule, text in _of_trial(trial, history.manifest, searching=searching)
        ),
    ]


def _split(folder: StudyFolder, history: History) -> Iterator[Finding]:
    path, wanted = folder.split, history.manifest.split_fingerprint
    try:
        found = load(path).fingerprint
        message = f"{path} ({found[:12]}) is not the study's split ({wanted[:12]}); restore it, or start a new study"
    except DataError as error:
        again = "" if path.exists() else "; `cifar-search doctor --fix` makes it again where the data are at hand"
        found, message = "", f"{error}{again}"
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


def _of_study(history: History) -> Iterator[Finding]:
    numbers = [trial.number for trial in history.trials]
    if numbers != list(range(len(numbers))):
        rule = "trials are numbered from 0 without gaps or repeats"
        yield Finding(rule=rule, trial=None, message=f"the numbers are {numbers}")
    begun = history.begun
    most = max([history.planned, *(int(start.get("trials", 0)) for start in history.starts)])
    if begun > most:
        message = f"{begun} trials were begun, and no start asked for more than {most}"
        yield Finding(rule="no more trials than were asked for", trial=None, message=message)


def _of_trial(trial: TrialRecord, manifest: Manifest, *, searching: bool) -> Iterator[tuple[str, str]]:
    if trial.state == "foreign":
        return
    if trial.state == "running" and not searching:
        yield SUPERVISED, "is running, but no search owns the study"
    reported = [epoch for epoch, _ in trial.epochs]
    measured = [row.get("epoch") for row in trial.curve]
    ahead = trial.state != "complete" and measured[:-1] == reported  # it is stored first: a kill may come in between
    if len(set(measured)) != len(measured) or not (measured == reported or ahead):
        yield "an epoch is reported and measured once", f"reported epochs {reported} and measured {measured}"
    if not trial.carried and trial.seed not in (None, manifest.seed_of(trial.number)):
        yield "a trial's seed comes from the study's and its number", f"has the seed {trial.seed}"
    attempts = [loss.attempt for loss in trial.losses]
    if len(set(attempts)) != len(attempts) or any(attempt > trial.attempts for attempt in attempts):
        yield "an attempt is lost once", f"lost its attempts {attempts}, of {trial.attempts}"
    if len(attempts) > MOST_RETRIES + 1 or (len(attempts) > MOST_RETRIES and trial.state in ("waiting", "complete")):
        yield "a trial that is lost too often fails", f"was lost {len(attempts)} times, is {trial.state}"
    if trial.state == "complete":
        yield from _of_complete(trial, manifest, reported)
    if trial.state == "pruned" and trial.accuracy is None and trial.feasible:
        yield "a pruned trial has an accuracy or violates a constraint", "has neither"
    if trial.state == "failed" and not trial.message:
        yield "a failed trial says why", "does not"


def _of_complete(trial: TrialRecord, manifest: Manifest, reported: list[int]) -> Iterator[tuple[str, str]]:
    if reported != list(range(1, manifest.epochs + 1)):
        yield "a complete trial has every epoch", f"reported {reported} of {manifest.epochs}"
    elif trial.accuracy != trial.epochs[-1][1]:
        yield "a complete trial has its last epoch's accuracy", f"has {trial.accuracy}, reported {trial.epochs[-1][1]}"
    if not trial.values or trial.seed is None:
        yield "a complete trial has its values and its seed", f"has {len(trial.values)} values and seed {trial.seed}"
    if trial.attempts and not trial.checkpoint:
        yield "a complete trial has its checkpoint's SHA-256", "has none"
