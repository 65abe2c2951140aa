"""Draws a decision while it is made."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from search.deciding.decide import Chosen, Planned, Reported, Step
from search.deciding.evidence import ABOUT_VIEWS, Confirmed, Report
from search.deciding.trainings import Trained
from search.text import duration, percent


def follow(steps: Iterable[Step], *, console: Console) -> Report:
    """A line for every epoch, a table for every result; returns the report."""
    report: Report | None = None
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)  # a name may hold square brackets
    for step in steps:
        match step:
            case Planned():
                say(f"{step.machine}; {step.data}; about {duration(step.plan.seconds)}")
                say(f"study {step.study}: {step.plan.title}")
                if step.earlier_openings:
                    times = f"{step.earlier_openings} time{'s' * (step.earlier_openings > 1)}"
                    say(f"warning: the test set of this study was opened {times} before", style="yellow")
            case Trained():
                result = step.result
                score = percent(result.validation_accuracy or result.train_accuracy)
                kind = "validation" if result.validation_accuracy is not None else "training"
                say(f"{step.phase}: {step.name}, epoch {result.epoch}/{result.epochs}: {score} {kind}")
            case Chosen():
                for reason in step.dropped:
                    say(f"dropped: {reason}", style="yellow")
                console.print(confirmation_table(step.confirmation))
            case Reported():
                report = step.report
                console.print()
                console.print(report_table(step.report))
                say(f"\nreport: {step.folder / 'report.md'}")
    assert report is not None, "a decision ends with its report"
    return report


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
    grid.add_row("with test-time views", f"{percent(test.accuracy_with_views)}, nothing rests on it")
    grid.add_row("test set opened", f"{len(report.openings)} time{'s' * (len(report.openings) > 1)}")
    for claim in found.claims:
        grid.add_row(f"{claim.name} claims {percent(claim.accuracy)}", Text(claim.verdict, "bold"))
    grid.add_row("verdict", Text(found.verdict, "bold green" if found.verdict == "build" else "bold yellow"))
    warning = "" if report.official else f"{report.data}: a rehearsal, not to be signed.\n"
    return Group(grid, Text(), Text(warning, "yellow"), Text(" ".join(found.reasons)), Text(), Text(ABOUT_VIEWS))
