"""A study and its best candidate as tables."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.candidate import CandidateError, from_values
from search.console.terminal import columns
from search.inspecting.status import Status, best_trial
from search.text import counts, duration, percent, plain
from studies.history import History, TrialRecord


def status_table(status: Status) -> Group:
    """What is done, running, pruned; the best so far; the time left."""
    history = status.history
    left = status.seconds_left
    grid = Table.grid(padding=(0, 2))
    grid.add_row("study", Text(f"{history.study} ({history.manifest.space_name}.yaml) in {status.storage}"))
    grid.add_row("trials", f"{history.finished} of {history.planned} finished: {counts(history.counts)}")
    if history.carried:
        grid.add_row("carried over", f"{history.carried} trials of another study, which teach and do not count")
    running = [
        f"{trial.number} ({len(trial.epochs)}/{history.manifest.epochs})"
        for trial in history.trials
        if trial.state == "running"
    ]
    if running:
        grid.add_row("running", f"trial {', '.join(running)} epochs")
    grid.add_row("time left", "-" if left is None else f"about {duration(left)}")
    return Group(grid, Text(), best_five(history), *_front(history))


def best_five(history: History) -> Table:
    """The best trials so far, the first one first."""
    table = columns("trial", "validation", "parameters", "MFLOPs", "s/epoch", title="best so far", left="candidate")
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
    return Group(head, Text(), table, *_front(history), Text(), Text(note, "dim"))


def front_table(history: History) -> Table:
    """The trials that are worth their cost, cheapest first."""
    cost = str(history.manifest.cost)
    title = f"Pareto front: accuracy against {cost}"
    table = columns("trial", "validation", cost, title=title, left="candidate")
    for trial in history.front:
        row = (str(trial.number), percent(trial.accuracy), f"{trial.attributes[cost]:,.4g}")
        table.add_row(*row, trial.baseline or _summary(trial))
    return table


def _front(history: History) -> list[Table | Text]:
    return [Text(), front_table(history)] if history.front else []


def _summary(trial: TrialRecord) -> str:
    try:
        candidate = from_values(trial.values)
    except CandidateError:  # of another version
        return str(trial.values.get("architecture.family"))
    return f"{candidate.architecture.family} {candidate.architecture.title}, {candidate.recipe.optimizer}"
