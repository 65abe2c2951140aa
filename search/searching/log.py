"""What a search says, line by line: to a person, and to the log in its study's folder."""

import os
import signal
import time
import traceback
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from search.errors import UserError
from search.planning.hour import hindsight
from search.searching import progress
from search.searching.provenance import command_line
from search.slots.signals import InterruptedSearch
from search.text import counts, duration, percent, plural
from studies.manifest import METRICS


@dataclass(kw_only=True)
class Lines:
    """Turns updates into lines, and keeps what a later one needs of those before."""

    measure: str = "validation_accuracy"  # the number of an epoch that is shown
    silent: float = 0.0  # seconds that the storage has not answered
    started: float = field(default_factory=time.monotonic)

    def of(self, update: progress.Update) -> list[str]:
        """What is worth a line."""
        if self.silent and not isinstance(update, progress.Silent):
            silence, self.silent = duration(self.silent), 0.0
            return [f"the storage answers again after {silence}", *self.of(update)]
        match update:
            case progress.Opened():
                self.started, self.measure = time.monotonic(), update.history.manifest.measure
                return _first_lines(update)
            case progress.Noted():
                return [f"note: {update.message}"]
            case progress.Started():
                return [f"trial {update.number} starts: {update.title}"]
            case progress.Resumed():
                rejected = [f"trial {update.number}: {reason}" for reason in update.rejected]
                return [*rejected, f"trial {update.number} goes on from its checkpoint in epoch {update.epoch + 1}"]
            case progress.Retried():
                return [f"trial {update.number} waits for another attempt: {update.message}"]
            case progress.Silent():
                new, self.silent = not self.silent, max(update.seconds, 0.1)
                return [f"{update.message}; the trainings wait for it"] if new else []
            case progress.Progressed(result=result) if result.validation_accuracy is not None:
                score = percent(getattr(result, self.measure))
                return [f"trial {update.number} epoch {result.epoch}/{result.epochs}: {score} ({result.seconds:.0f} s)"]
            case progress.Ended():
                return [_outcome(update)]
            case progress.Closed():
                return [_last_line(update, seconds=time.monotonic() - self.started)]
        return []


def logged(updates: Generator[progress.Update, None, None], *, log: Path) -> Iterator[progress.Update]:
    """The same updates, each when its lines are in the log, and so is their error; without a log they go on too."""
    lines, told = Lines(), False
    new = [f"process {os.getpid()}: {command_line()}"]
    try:
        with closing(updates):
            for update in updates:
                new += lines.of(update)
                problem, new = _append(log, new), []
                if problem and not told:
                    told = True
                    yield progress.Noted(message=f"cannot write {log}: {problem}; the search goes on")
                yield update
    except BaseException as error:
        known = isinstance(error, UserError | InterruptedSearch) or not isinstance(error, Exception)
        reason = str(error) or type(error).__name__ if known else traceback.format_exc()
        _append(log, [*new, f"the search ends: {reason}"])  # but where the study has no folder yet
        raise


def _first_lines(opened: progress.Opened) -> list[str]:
    history = opened.history
    left = history.planned - history.finished
    time_left = f"about {duration(opened.seconds)} for {plural(left, 'trial')}" if left else "nothing is left to train"
    done = f", {history.finished} of {history.planned} are finished" if history.finished else ""
    part = f" of {history.manifest.images:,} images" if history.manifest.images else ""
    metric = "" if history.manifest.metric == METRICS["accuracy"] else f", for the {history.manifest.metric}"
    return [
        f"{opened.machine}; {opened.data}; {time_left}",
        f"study {opened.study} in {opened.storage}: {opened.epochs} epochs a trial{part}{metric}{done}",
        *opened.measured,
        *(f"note: {note}" for note in opened.notes),
    ]


def _outcome(ended: progress.Ended) -> str:
    if ended.outcome or ended.message:
        return f"trial {ended.number} {ended.outcome or ended.state}: {ended.message}"
    best = ended.history.best
    record = ", best so far" if best and best.number == ended.number else ""
    return f"trial {ended.number} {ended.state}, {percent(ended.history.trials[ended.number].accuracy)}{record}"


def _last_line(closed: progress.Closed, *, seconds: float) -> str:
    best = closed.history.best
    result = f"; best: trial {best.number}, {percent(best.accuracy)}" if best else ""
    waiting = f"; trial {', '.join(map(str, closed.put_back))} put back" if closed.put_back else ""
    over = "the time is over: " if closed.out_of_time else ""
    if closed.signal == signal.SIGXCPU:
        over = "the CPU time that this shell allows a process is over (ulimit -t): "
    line = f"{over}{counts(closed.history.counts)} in {duration(seconds)}{result}{waiting}"
    told = "" if closed.put_back or closed.history.remaining else hindsight(closed.history)
    return f"{line}\n{told}" if told else line


def _append(log: Path, lines: list[str]) -> str | None:
    """Append lines with the time; returns why it cannot."""
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    try:
        if lines:
            with log.open("a", encoding="utf-8", errors="replace") as file:
                file.writelines(f"{now}  {line}\n" for line in "\n".join(lines).splitlines())
    except OSError as error:
        return error.strerror
    return None
