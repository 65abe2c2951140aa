"""Draws a search while it runs: a live picture in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.console.tables import best_five
from search.searching.progress import (
    Closed,
    Ended,
    Opened,
    Progressed,
    Resumed,
    Retried,
    Silent,
    Started,
    Update,
)
from search.text import counts, duration, percent
from search.training.result import EpochResult
from studies.history import History

EVENTS = 6  # lines of the last events
KNOWN = 3  # finished trials before their pace is trusted more than the forecast


def watch(updates: Iterable[Update], *, console: Console) -> Closed:
    """Draw every update until the search closes."""
    picture = Picture()
    closed: Closed | None = None
    if not console.is_terminal:
        for update in updates:
            closed = update if isinstance(update, Closed) else closed
            for line in picture.take(update):
                console.print(Text(line), soft_wrap=True)
    else:
        with Live(console=console, get_renderable=picture.draw, refresh_per_second=4) as live:
            for update in updates:
                closed = update if isinstance(update, Closed) else closed
                lines = picture.take(update)
                if isinstance(update, Opened):
                    for line in lines:
                        live.console.print(Text(line))
    assert closed is not None, "a search ends with Closed"
    return closed


@dataclass
class Running:
    """A trial on a slot."""

    title: str
    result: EpochResult | None = None


@dataclass
class Picture:
    """What is known of a search, and how it looks."""

    opened: Opened | None = None
    history: History | None = None
    running: dict[int, Running] = field(default_factory=dict)
    events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS))
    ended: int = 0  # in this start
    silent: float = 0.0  # seconds that the storage has not answered
    started: float = field(default_factory=time.monotonic)

    def take(self, update: Update) -> list[str]:
        """Keep an update; returns what is worth a line."""
        lines = self._lines(update)
        if not isinstance(update, Opened):
            self.events.extend(f"{time.strftime('%H:%M:%S')}  {line}" for line in lines)
        return lines

    def _lines(self, update: Update) -> list[str]:
        if self.silent and not isinstance(update, Silent):
            silence, self.silent = duration(self.silent), 0.0
            return [f"the storage answers again after {silence}", *self._lines(update)]
        match update:
            case Opened():
                self.opened, self.history, self.started = update, update.history, time.monotonic()
                finished, planned = update.history.finished, update.history.planned
                first = (
                    f"{update.machine}; {update.data}; about {duration(update.seconds)} for {planned - finished} trials"
                )
                known = f", {finished} of {planned} are finished" if finished else ""
                images = update.history.manifest.images
                part = f" on {images:,} images" if images else ""
                second = f"study {update.study} in {update.storage}: {update.epochs} epochs a trial{part}{known}"
                return [first, second, *update.measured, *(f"note: {note}" for note in update.notes)]
            case Started():
                self.running[update.number] = Running(title=update.title)
                return [f"trial {update.number} starts: {update.title}"]
            case Resumed():
                done = f"trial {update.number} goes on from its checkpoint in epoch {update.epoch + 1}"
                return [*(f"trial {update.number}: {reason}" for reason in update.rejected), done]
            case Retried():
                self.running.pop(update.number, None)
                return [f"trial {update.number} waits for another attempt: {update.message}"]
            case Silent():
                new, self.silent = not self.silent, max(update.seconds, 0.1)
                return [f"{update.message}; the trainings wait for it"] if new else []
            case Progressed():
                self.running[update.number].result = update.result
                result = update.result
                score = percent(result.validation_accuracy)
                return [f"trial {update.number} epoch {result.epoch}/{result.epochs}: {score} ({result.seconds:.0f} s)"]
            case Ended():
                self.running.pop(update.number, None)
                self.history, self.ended = update.history, self.ended + 1
                trial = update.history.trials[update.number]
                state = f"{update.outcome}: {update.message}" if update.outcome else f"{update.state}, "
                score = "" if update.outcome else percent(trial.accuracy)
                best = update.history.best
                record = ", best so far" if best and best.number == update.number else ""
                return [f"trial {update.number} {state}{score}{record}"]
            case Closed():
                self.history = update.history
                self.running.clear()
                best = update.history.best
                found = f"; best: trial {best.number}, {percent(best.accuracy)}" if best else ""
                waiting = f"; trial {', '.join(map(str, update.put_back))} put back" if update.put_back else ""
                took = duration(time.monotonic() - self.started)
                over = "the time is over: " if update.out_of_time else ""
                return [f"{over}{counts(update.history.counts)} in {took}{found}{waiting}"]
            case _:
                return []

    def draw(self) -> RenderableType:
        """The live picture."""
        if self.opened is None or self.history is None:
            return Text("measuring this machine …", "dim")
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        finished, planned = self.history.finished, self.history.planned
        now = {**self.history.counts, "running": len(self.running), "waiting": 0}  # the history is of the last end
        left = f"no answer for {duration(self.silent)}" if self.silent else self._left(planned - finished)
        words = f"{finished}/{planned} trials, {counts(now)}, {left}"
        bar.add_row(ProgressBar(total=planned, completed=finished), words)
        return Group(
            Text(), bar, Text(), self._slots(), Text(), best_five(self.history), Text(), *map(Text, self.events)
        )

    def _slots(self) -> Table:
        table = Table(title="running", title_justify="left", box=None, padding=(0, 2))
        for column in ("trial", "epoch", "validation"):
            table.add_column(column, justify="right")
        table.add_column("candidate")
        for number, trial in sorted(self.running.items()):
            result = trial.result
            epoch = f"{result.epoch if result else 0}/{self.opened.epochs if self.opened else 0}"
            table.add_row(
                str(number), epoch, percent(result.validation_accuracy if result else None), Text(trial.title)
            )
        return table

    def _left(self, left: int) -> str:
        assert self.opened is not None
        elapsed = time.monotonic() - self.started
        pace = elapsed / self.ended if self.ended >= KNOWN else None
        seconds = pace * left if pace else max(0.0, self.opened.seconds - elapsed)
        return f"about {duration(seconds)} left"
