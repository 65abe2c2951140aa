"""Where everything that belongs to one study lies in the folder of runs, and what of it is of no more use."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from search.files import PARTIAL, home
from search.slots.checkpoint_store import FINAL, CheckpointStore
from studies import StudyError
from studies.history import History

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of a study: it is safe as a folder's
RESERVED = re.compile(r"artifacts|studies\.db.*|.*\.lock", re.IGNORECASE)  # what lies beside the studies


class StudyFolder:
    """The paths of one study. Nothing is made or read here. Raises StudyError for a name that is no folder's."""

    def __init__(self, runs: Path, study: str) -> None:
        runs = home(runs)
        if not NAME.fullmatch(study):
            rule = f"a study's name is 1 to 64 letters, digits, '.', '_', '-', no sign first, not {study!r}"
            with suppress(OSError):
                if others := ", ".join(sorted(path.parent.name for path in runs.glob("*/split.npz"))):
                    rule += f"; if it was renamed in the dashboard, give it its name back there: {runs} holds {others}"
            raise StudyError(rule)
        if RESERVED.fullmatch(study):
            raise StudyError(f"{study!r} is the name of something else in a folder of runs; take another with --study")
        self.runs, self.study, self.path = runs, study, runs / study
        self.split = self.path / "split.npz"  # which training images validate
        self.search_log = self.path / "search.log"  # what its searches say, with the time
        self.log = self.path / "slots.log"  # what the slots of a search or of a decision print
        self.reproduce_log = self.path / "reproduce.log"  # the same of `cifar-search reproduce`
        self.trials = self.path / "trials"  # a folder of checkpoints for each trial
        self.retraining = self.path / "retraining"  # of a decision until it is reported; confirmed weights stay
        self.report = self.path / "report"  # what `cifar-search best --retrain` found
        self.transfer = self.path / "transfer"  # what `cifar-search transfer` starts from, searches, trains and finds
        self.next_space = self.path / "next.yaml"  # what `cifar-search spaces advise` writes

    def checkpoints(self, trial: int) -> CheckpointStore:
        """The checkpoints of a trial."""
        return CheckpointStore(self.trials / f"{trial:05d}")


def name_of_study(name: str | None, *, space: str, source: str) -> str:
    """The name that was given, or else that of the space from a file. Raises StudyError where it is no folder's."""
    try:
        return StudyFolder(Path(), name or space).study
    except StudyError as error:
        if name:
            raise
        proper = f"{re.sub('[^A-Za-z0-9]+', '-', space).strip('-')[:58]}-study".removeprefix("-")
        text = f"the study would be named after its space, {source}: {error}; name it: --study {proper}"
        raise StudyError(text) from None


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A file or a folder that a killed process left, or that belongs to a trial that ended without weights."""

    rule: str
    message: str
    path: Path
    trial: int | None = None


def sweep(folder: StudyFolder, history: History) -> tuple[str, ...]:
    """Removes all leftovers and says what was removed. The caller owns the study."""
    done = []
    for path in (leftover.path for leftover in leftovers(folder, history)):
        with suppress(OSError):  # `cifar-search doctor` finds it again
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            done.append(f"removed {path}")
    return tuple(done)


def leftovers(folder: StudyFolder, history: History) -> Iterator[Leftover]:
    """All of a study that no process owns at the moment, or that this process owns."""
    places = (folder.path.glob(PARTIAL), folder.retraining.rglob(PARTIAL), folder.report.glob(".unfinished-*"))
    yield from (_cut_off(path) for paths in places for path in paths)
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(folder.trials)):  # noqa: PTH208 - there may be 10,000
            if re.fullmatch(r"\d{5,}", name):
                yield from _of_trial(folder, history, int(name))


def _of_trial(folder: StudyFolder, history: History, number: int) -> Iterator[Leftover]:
    place = folder.checkpoints(number).folder
    state = history.trials[number].state if number < len(history.trials) else "unknown"
    try:
        names = os.listdir(place)  # noqa: PTH208 - likewise
    except OSError:  # no folder, or another user's
        return
    passing = [name for name in names if re.fullmatch(r"step-\d+\.ckpt|.*\.part", name)]  # while a training goes on
    if state in ("waiting", "running"):
        yield from (_cut_off(path, trial=number) for path in place.glob(PARTIAL))
    elif state == "complete" or not set(names) <= {FINAL, *passing}:
        yield from (_cut_off(place / name, trial=number) for name in passing)
    else:
        yield Leftover(
            rule="only a trial that is complete, or may go on, has checkpoints",
            message=f"{place} is left of trial {number}, which is {state}",
            path=place,
            trial=number,
        )


def _cut_off(path: Path, *, trial: int | None = None) -> Leftover:
    message = f"{path} is left over"
    return Leftover(rule="nothing is left of what was cut off", message=message, path=path, trial=trial)
