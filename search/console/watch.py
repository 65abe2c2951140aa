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

from search.console.streams import reader_left
from search.console.tables import best_five
from search.console.terminal import columns, line_printer
from search.searching import progress
from search.searching.dry_run import DryRun
from search.searching.log import Lines
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
    if update.signal is not None and reader_left():  # Ctrl-C ended `tee` too
        line_printer(Console(stderr=True))("\n".join(lines))
    return update


def forecast_text(forecast: DryRun) -> Text:
    """The forecast of a search that was not begun."""
    done = f", {forecast.finished} of {forecast.planned} are finished" if forecast.finished else ""
    share, trials = forecast.share_of_epochs, plural(forecast.remaining, "trial")
    pruned = "" if share == 1 else f", of which pruning leaves about {100 * share:.0f} %"
    trial = f"{forecast.epochs} epochs a trial of {forecast.images:,} images"
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
class Picture(Lines):
    """The state of a search as its updates tell it, and how it looks."""

    opened: progress.Opened | None = None
    history: History | None = None
    titles: dict[int, str] = field(default_factory=dict)  # of the trials that run
    results: dict[int, EpochResult] = field(default_factory=dict)  # their last epochs
    events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS))
    ended: int = 0  # in this start

    def take(self, update: progress.Update) -> list[str]:
        """Keep an update; returns what is worth a line."""
        lines = self.of(update)
        if not isinstance(update, progress.Opened):
            self.events.extend(f"{time.strftime('%H:%M:%S')}  {line}" for line in lines)
        match update:
            case progress.Opened():
                self.opened = update
            case progress.Started():
                self.titles[update.number] = update.title
                self.results.pop(update.number, None)  # of an earlier attempt
            case progress.Progressed():
                self.results[update.number] = update.result
            case progress.Retried() | progress.Ended():
                self.titles.pop(update.number, None)
                self.ended += isinstance(update, progress.Ended)
            case progress.Closed():
                self.titles.clear()
        self.history = getattr(update, "history", self.history)
        return lines

    def draw(self) -> RenderableType:
        """The live picture."""
        if self.opened is None or self.history is None:
            return Text("measuring this machine …", "dim")
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column()
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
            accuracy = percent(getattr(result, self.measure) if result else None)
            slots.add_row(str(number), epoch, accuracy, Text(title))
        events = Group(*map(Text, self.events))
        return Group(Text(), bar, Text(), slots, Text(), best_five(self.history), Text(), events)
