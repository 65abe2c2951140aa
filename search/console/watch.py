"""Draws a search while it runs: a live picture in a terminal, plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.console.tables import best_five
from search.console.terminal import columns
from search.searching import progress
from search.searching.dry_run import DryRun
from search.text import counts, duration, percent, plural
from search.training.result import EpochResult
from studies.history import History

EVENTS = 6  # lines of the last events
TRUSTED = 3  # finished trials before their pace is trusted more than the forecast


def watch(updates: Iterable[progress.Update], *, console: Console) -> progress.Closed:
    """Draw every update until the search closes."""
    picture, live = Picture(), console.is_terminal
    with Live(console=console, get_renderable=picture.draw, refresh_per_second=4) if live else nullcontext():
        for update in updates:
            lines = picture.take(update)
            if not live or isinstance(update, progress.Opened):
                for line in lines:
                    console.print(Text(line), soft_wrap=not live)
    assert isinstance(update, progress.Closed), "a search ends with Closed"
    return update


def forecast_text(forecast: DryRun) -> Text:
    """The forecast of a search that was not begun."""
    done = f", {forecast.finished} of {forecast.planned} are finished" if forecast.finished else ""
    share, trials = forecast.share_of_epochs, plural(forecast.remaining, "trial")
    pruned = "" if share == 1 else f", of which pruning leaves about {100 * share:.0f} %"
    trial = f"{forecast.epochs} epochs a trial on {forecast.images:,} images"
    lines = [
        f"{forecast.machine}; {forecast.data}",
        f"study {forecast.study} in {forecast.storage}: {trial}{done}",
        *forecast.measured,
        *(f"note: {note}" for note in forecast.notes),
        f"speed: {forecast.images_per_second:,.0f} images/s on {plural(forecast.slots, 'slot')} together",
        f"epochs: {forecast.remaining * forecast.epochs:,} in {trials}{pruned}",
        f"time: about {duration(forecast.seconds)} for {trials}, "
        f"then up to about {duration(forecast.retraining_seconds)} for `cifar-search best --retrain`",
        f"disk: up to {forecast.checkpoints_mb:,.1f} MB of final checkpoints, "
        f"{forecast.database_mb:,.1f} MB of the database",
        "nothing was trained or kept; leave --dry-run out to begin",
    ]
    return Text("\n".join(lines))


@dataclass
class Picture:
    """The state of a search as its updates tell it, and how it looks."""

    opened: progress.Opened | None = None
    history: History | None = None
    titles: dict[int, str] = field(default_factory=dict)  # of the trials that run
    results: dict[int, EpochResult] = field(default_factory=dict)  # their last epochs
    events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS))
    ended: int = 0  # in this start
    silent: float = 0.0  # seconds that the storage has not answered
    started: float = field(default_factory=time.monotonic)

    def take(self, update: progress.Update) -> list[str]:
        """Keep an update; returns what is worth a line."""
        lines = self._lines(update)
        if not isinstance(update, progress.Opened):
            self.events.extend(f"{time.strftime('%H:%M:%S')}  {line}" for line in lines)
        return lines

    def _lines(self, update: progress.Update) -> list[str]:
        if self.silent and not isinstance(update, progress.Silent):
            silence, self.silent = duration(self.silent), 0.0
            return [f"the storage answers again after {silence}", *self._lines(update)]
        match update:
            case progress.Opened():
                self.opened, self.history, self.started = update, update.history, time.monotonic()
                return _first_lines(update)
            case progress.Started():
                self.titles[update.number] = update.title
                self.results.pop(update.number, None)  # of an earlier attempt
                return [f"trial {update.number} starts: {update.title}"]
            case progress.Resumed():
                rejected = [f"trial {update.number}: {reason}" for reason in update.rejected]
                return [*rejected, f"trial {update.number} goes on from its checkpoint in epoch {update.epoch + 1}"]
            case progress.Retried():
                self.titles.pop(update.number, None)
                return [f"trial {update.number} waits for another attempt: {update.message}"]
            case progress.Silent():
                new, self.silent = not self.silent, max(update.seconds, 0.1)
                return [f"{update.message}; the trainings wait for it"] if new else []
            case progress.Progressed(result=result):
                self.results[update.number] = result
                score = percent(result.validation_accuracy)
                return [f"trial {update.number} epoch {result.epoch}/{result.epochs}: {score} ({result.seconds:.0f} s)"]
            case progress.Ended():
                self.titles.pop(update.number, None)
                self.history, self.ended = update.history, self.ended + 1
                return [_outcome(update)]
            case progress.Closed():
                self.history = update.history
                self.titles.clear()
                return [_last_line(update, seconds=time.monotonic() - self.started)]
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
        now = {**self.history.counts, "running": len(self.titles), "waiting": 0}  # the history is of the last end
        elapsed = time.monotonic() - self.started
        forecast = max(0.0, self.opened.seconds - elapsed)
        seconds = elapsed / self.ended * (planned - finished) if self.ended >= TRUSTED else forecast
        left = f"no answer for {duration(self.silent)}" if self.silent else f"about {duration(seconds)} left"
        numbers = f"{finished}/{planned} trials, {counts(now)}, {left}"
        bar.add_row(ProgressBar(total=planned, completed=finished), numbers)
        slots = columns(">trial", ">epoch", ">validation", "candidate", title="running")
        for number, title in sorted(self.titles.items()):
            result = self.results.get(number)
            epoch = f"{result.epoch if result else 0}/{self.opened.epochs}"
            accuracy = percent(result.validation_accuracy if result else None)
            slots.add_row(str(number), epoch, accuracy, Text(title))
        events = Group(*map(Text, self.events))
        return Group(Text(), bar, Text(), slots, Text(), best_five(self.history), Text(), events)


def _first_lines(opened: progress.Opened) -> list[str]:
    history = opened.history
    left = plural(history.planned - history.finished, "trial")
    done = f", {history.finished} of {history.planned} are finished" if history.finished else ""
    part = f" on {history.manifest.images:,} images" if history.manifest.images else ""
    return [
        f"{opened.machine}; {opened.data}; about {duration(opened.seconds)} for {left}",
        f"study {opened.study} in {opened.storage}: {opened.epochs} epochs a trial{part}{done}",
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
    return f"{over}{counts(closed.history.counts)} in {duration(seconds)}{result}{waiting}"
