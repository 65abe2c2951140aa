"""A study, its best candidate and a decision as tables."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.console.words import counts, duration, percent, plain
from search.deciding.evidence import Confirmed, Report
from search.running.bench import BenchRow
from search.running.status import Status, best_trial
from studies.history import History, TrialRecord


def status_table(status: Status) -> Group:
    """What is done, running, pruned; the best so far; the time left."""
    history = status.history
    left = status.seconds_left
    grid = Table.grid(padding=(0, 2))
    grid.add_row("study", f"{history.study} ({history.manifest.space_name}.yaml) in {status.storage}")
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


def confirmation_table(confirmation: tuple[Confirmed, ...]) -> Table:
    """The best trials with fresh seeds; the chosen one is marked."""
    table = Table(title="confirmed with fresh seeds", title_justify="left", box=None, padding=(0, 2))
    for column in ("trial", "mean", "by seed", "MFLOPs", ""):
        table.add_column(column, justify="right")
    for row in confirmation:
        seeds = " ".join(percent(accuracy) for accuracy in row.accuracies)
        chosen = "chosen" if row.chosen else ""
        table.add_row(str(row.trial), percent(row.mean), seeds, f"{row.flops / 1e6:.1f}", chosen)
    return table


def report_table(report: Report) -> Group:
    """The answer, its number and its claims."""
    test, found = report.test, report.recommendation
    accuracy = f"{percent(test.accuracy)}  [{percent(test.interval.low)} to {percent(test.interval.high)}]"
    grid = Table.grid(padding=(0, 2))
    grid.add_row("test accuracy", Text(accuracy, "bold"))
    grid.add_row("test images", f"{test.n:,}, {len(test.seeds)} seed{'s' * (len(test.seeds) > 1)}, no test-time views")
    grid.add_row("test set opened", f"{len(report.openings)} time{'s' * (len(report.openings) > 1)}")
    for claim in found.claims:
        grid.add_row(f"{claim.name} claims {percent(claim.accuracy)}", Text(claim.verdict, "bold"))
    grid.add_row("verdict", Text(found.verdict, "bold green" if found.verdict == "build" else "bold yellow"))
    warning = "" if report.official else f"{report.data}: a rehearsal, not to be signed.\n"
    return Group(grid, Text(), Text(warning, "yellow"), Text(" ".join(found.reasons)))


def _running(history: History) -> list[TrialRecord]:
    return [trial for trial in history.trials if trial.state == "running"]


def _summary(trial: TrialRecord) -> str:
    values = trial.values
    widths = "/".join(str(values[name]) for name in sorted(values) if name.startswith("architecture.width."))
    return f"{values.get('architecture.family')} {widths}, {values.get('recipe.optimizer')}"


def bench_table(rows: list[BenchRow]) -> Table:
    """Speed of each family."""
    table = Table(title=rows[0].machine if rows else None, title_justify="left", box=None, padding=(0, 2))
    for column in ("space", "baseline"):
        table.add_column(column)
    for column in ("images/s", "bare loop", "share"):
        table.add_column(column, justify="right")
    for row in rows:
        found = row.throughput
        speeds = (f"{found.images_per_second:,.0f}", f"{found.bare_images_per_second:,.0f}")
        table.add_row(row.space, row.baseline, *speeds, f"{100 * found.share_of_bare_loop:.1f} %")
    return table
