"""Holds the ledger of a study against what is stored and what lies in its folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from search.data import DataError
from search.data.split import load
from search.files import PARTIAL
from search.inspecting.status import read_status
from search.slots.checkpoint_store import FINAL, CheckpointStore
from studies.audit import Finding, repair, violations_of
from studies.history import History, State, TrialRecord, read_history
from studies.lock import lock
from studies.owner import exists
from studies.storage import shareable, storage_url

LOCK, DECISION, LOG = "lock", "retrain.lock", "slots.log"  # in a study's folder


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What a study says of itself, and all that speaks against it; without a finding it is true."""

    study: str
    planned: int
    counts: dict[State, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]  # what could not be checked

    def as_json(self) -> dict[str, Any]:
        """What `doctor --json` prints."""
        return {"true": not self.findings, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with a study's folder, with what mends it and says so."""

    rule: str
    message: str
    trial: int | None = None
    mend: Callable[[], str] | None = None

    @property
    def finding(self) -> Finding:
        """The same without its remedy."""
        return Finding(rule=self.rule, trial=self.trial, message=self.message, fixable=self.mend is not None)


def examine_study(folder: Path, *, storage: str | None = None, study: str | None = None) -> Ledger:
    """The ledger of that study, or else of the one that was worked on last; changes nothing.

    Raises StudyError, StorageError.
    """
    name = study or read_status(folder, storage=storage).history.study
    place, url = folder / name, storage_url(folder, storage)
    busy = _held(place / LOCK)
    history = read_history(name, storage=url)
    busy = busy or _held(place / LOCK)  # a search may have begun just now
    living = _living(history, url=url, busy=busy)
    alone = not busy and not any(map(living, history.supervisors))
    return Ledger(
        study=name,
        planned=history.planned,
        counts=history.counts,
        findings=(
            *violations_of(history, living=living),
            *(fault.finding for fault in _faults(place, history, alone=alone)),
        ),
        notes=tuple(_unchecked(place, history, alone=alone)),
    )


def fix(folder: Path, *, storage: str | None = None, study: str | None = None) -> tuple[str, ...]:
    """Repair what can be repaired, and say what was done.

    Raises StudyError, StorageError, and LockedError while a search is at work on the study.
    """
    name = read_status(folder, storage=storage, study=study).history.study  # or a database would be made
    place, url = folder / name, storage_url(folder, storage)
    with lock(place / LOCK) if place.exists() else nullcontext():
        put_back = repair(name, storage=url)
        history = read_history(name, storage=url)
        alone = not any(map(_living(history, url=url, busy=False), history.supervisors))
        return (*put_back, *_mended(_leftovers(place, history, alone=alone)))


def sweep(folder: Path, history: History, *, alone: bool = True) -> tuple[str, ...]:
    """Remove from a study's folder what no trial needs any more, and say what was removed.

    What another search may be writing stays where this one is not `alone`.
    """
    return tuple(_mended(_litter(folder, history, alone=alone)))


def checkpoints_of(folder: Path, number: int) -> CheckpointStore:
    """Where the checkpoints of a trial are, in its study's folder."""
    return CheckpointStore(folder / "trials" / f"{number:05d}")


def _mended(faults: Iterable[Fault]) -> Iterator[str]:
    for fault in faults:
        with suppress(OSError):  # what cannot be mended stays a finding
            if fault.mend:
                yield fault.mend()


def _living(history: History, *, url: str, busy: bool) -> Callable[[str | None], bool]:
    """Whether a supervisor lives; one that cannot be seen from here does."""
    if not shareable(url):
        return lambda _: busy
    known = {uuid for uuid, owner in history.supervisors.items() if exists(owner) is not False}
    return lambda uuid: uuid in known


def _held(path: Path) -> bool:
    """Whether a process holds a lock file; one that was only left behind harms nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _faults(folder: Path, history: History, *, alone: bool) -> Iterator[Fault]:
    """All that is wrong with the folder; while a search is at work, what is left over cannot be told."""
    if not _away(folder, history):
        yield from _leftovers(folder, history, alone=True) if alone else ()
        yield from _split(folder, history)
        yield from _checkpoints(folder, history)


def _leftovers(folder: Path, history: History, *, alone: bool) -> Iterator[Fault]:
    yield from _litter(folder, history, alone=alone)
    yield from _orphans(folder) if alone else ()


def _unchecked(folder: Path, history: History, *, alone: bool) -> Iterator[str]:
    """What `_faults` cannot know."""
    if _away(folder, history):
        yield f"nothing of the study lies in {folder}: its files were not checked"
        return
    if not alone:
        yield "a search is at work: what is left over was not looked for"
    places = Counter(str(trial.place) for trial in history.trials if _elsewhere(folder, trial))
    yield from (f"not checked, on {place}: the checkpoints of {count} trials" for place, count in places.items())


def _away(folder: Path, history: History) -> bool:
    """The study was searched on other hosts only."""
    return not folder.exists() and all(trial.place != socket.gethostname() for trial in history.trials)


def _litter(folder: Path, history: History, *, alone: bool) -> Iterator[Fault]:
    """What was left over; of trials whose search may live on, and of those that it may have begun, only if alone."""
    if alone:
        yield from map(_left, folder.glob(PARTIAL))
    if not _held(folder / DECISION):
        yield from map(_left, (*folder.glob(f"retraining/{PARTIAL}"), *folder.glob("report/.unfinished-*")))
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(folder / "trials")):  # noqa: PTH208 - there may be 10,000
            if re.fullmatch(r"\d{5,}", name):
                yield from _litter_of(folder, history, int(name), alone=alone)


def _litter_of(folder: Path, history: History, number: int, *, alone: bool) -> Iterator[Fault]:
    shelf = checkpoints_of(folder, number)
    state = history.trials[number].state if number < len(history.trials) else "unknown"
    try:
        names = os.listdir(shelf.folder)  # noqa: PTH208 - likewise
    except OSError:  # no folder, or another user's
        return
    if state in ("pruned", "failed") or (state == "unknown" and alone):
        if not names or FINAL in names or any(map(_passing, names)):
            yield Fault(
                rule="only a trial that is complete, or may go on, has checkpoints",
                message=f"{shelf.folder} is left of trial {number}, which is {state}",
                trial=number,
                mend=partial(_clear, shelf),
            )
    elif state == "complete":
        yield from (_left(shelf.folder / name, trial=number) for name in filter(_passing, names))
    elif alone:
        yield from (_left(path, trial=number) for path in shelf.folder.glob(PARTIAL))


def _passing(name: str) -> bool:
    """Whether a shelf holds such a file only while its training goes on."""
    return re.fullmatch(r"step-\d+\.ckpt|.*\.part", name) is not None


def _left(path: Path, *, trial: int | None = None) -> Fault:
    return Fault(
        rule="nothing is left of what was cut off",
        message=f"{path} is left over",
        trial=trial,
        mend=partial(_remove, path),
    )


def _remove(path: Path) -> str:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return f"removed {path}"


def _clear(shelf: CheckpointStore) -> str:
    shelf.clear()
    return f"removed the checkpoints in {shelf.folder}"


def _orphans(folder: Path) -> Iterator[Fault]:
    """Forks of a server that write to the log of the study's slots while nobody works on it; seen on Linux only."""
    if _held(folder / DECISION):  # whose slots they are
        return
    log = str((folder / LOG).resolve())
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            writes = str((process / "fd" / "1").readlink()) == log
            if writes and b"multiprocessing.forkserver" in (process / "cmdline").read_bytes():
                yield Fault(
                    rule="a slot ends with its supervisor",
                    message=f"process {process.name} is a slot without a supervisor",
                    mend=partial(_end, int(process.name)),
                )


def _end(pid: int) -> str:
    os.kill(pid, signal.SIGKILL)
    return f"ended process {pid}, a slot without a supervisor"


def _split(folder: Path, history: History) -> Iterator[Fault]:
    path, wanted = folder / "split.npz", history.manifest.split_fingerprint
    try:
        found = load(path).fingerprint
        message = f"{path} ({found[:12]}) is not the study's split ({wanted[:12]}); restore it, or start a new study"
    except DataError as error:
        found, message = "", str(error)
    if found != wanted:
        yield Fault(rule="the split is the one that the study was started with", message=message)


def _checkpoints(folder: Path, history: History) -> Iterator[Fault]:
    for trial in history.trials:
        if trial.checkpoint is None or trial.state != "complete" or _elsewhere(folder, trial):
            continue
        if wrong := checkpoints_of(folder, trial.number).verify_final(trial.checkpoint):
            again = f"cifar-search reproduce {trial.number} --study {history.study} --keep"
            yield Fault(
                rule="the checkpoint of a complete trial is the one that it ended with",
                message=f"{wrong}; its result stands, its weights are lost, and `{again}` trains them again",
                trial=trial.number,
            )


def _elsewhere(folder: Path, trial: TrialRecord) -> bool:
    """Its checkpoint is on another host, and no copy of it is here."""
    if trial.checkpoint is None or trial.place == socket.gethostname():
        return False
    return not os.path.lexists(checkpoints_of(folder, trial.number).folder / FINAL)
