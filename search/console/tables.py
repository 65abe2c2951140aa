"""A study and its best candidate as tables."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.console.words import counts, duration, percent, plain
from search.running.status import Status, best_trial
from studies.history import History, TrialRecord


def status_table(status: Status) -> Group:
    """What is done, running, pruned; the best so far; the time left."""
    history = status.history
    left = status.seconds_left
    grid = Table.grid(padding=(0, 2))
    grid.add_row("study", Text(f"{history.study} ({history.manifest.space_name}.yaml) in {status.storage}"))
    grid.add_row("trials", f"{history.finished} of {history.planned} finished: {counts(history.counts)}")
    running = [f"{trial.number} ({len(trial.epochs)}/{history.manifest.epochs})" for trial in _running(history)]
    if running:
        grid.add_row("running", f"trial {', '.join(running)} epochs")
    grid.add_row("time left", "-" if left is None else f"about {duration(left)}")
    return Group(grid, Text(), best_five(history))


def best_five(history: History) -> Table:
    """The best trials so far, the first one first."""
    table = Table(title="best so far", title_justify="left", box=None, padding=(0, 2))
    for column in ("trial", "validation", "parameters", "MFLOPs", "s/epoch"):
        table.add_column(column, justify="right")
    table.add_column("candidate")
    for trial in history.top(5):
        numbers = trial.attributes
        table.add_row(
            str(trial.number),
            percent(trial.accuracy),
            f"{numbers.get('parameters', 0):,.0f}",
            f"{numbers.get('flops', 0) / 1e6:.1f}",
            f"{numbers.get('seconds_per_epoch', 0):.1f}",
            trial.baseline or _summary(trial),
        )
    return table


def best_table(history: History) -> Group:
    """The best candidate so far, every value of it."""
    best = best_trial(history)
    head = Text.assemble(
        "trial ", (str(best.number), "bold"), " of study ", (history.study, "bold"), ": ",
        (percent(best.accuracy), "bold green"), " on the validation images",
        f" (baseline {best.baseline})" if best.baseline else "",
    )  # fmt: skip
    table = Table(box=None, padding=(0, 2))
    table.add_column("value")
    table.add_column("", justify="right")
    for name, value in sorted(best.values.items()):
        table.add_row(name, plain(value))
    for name, number in best.attributes.items():
        table.add_row(Text(name, "dim"), Text(f"{number:,.6g}", "dim"))
    note = "The best of many is partly the luckiest of many: `cifar-search best --retrain` confirms it and tests it."
    return Group(head, Text(), table, Text(), Text(note, "dim"))


def _running(history: History) -> list[TrialRecord]:
    return [trial for trial in history.trials if trial.state == "running"]


def _summary(trial: TrialRecord) -> str:
    values = trial.values
    widths = "/".join(str(values[name]) for name in sorted(values) if name.startswith("architecture.width."))
    return f"{values.get('architecture.family')} {widths}, {values.get('recipe.optimizer')}"
