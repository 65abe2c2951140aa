"""Draws a decision while it is made."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from search.console.terminal import columns, line_printer
from search.deciding.decide import DecisionStep, Planned
from search.deciding.evidence import ABOUT_VIEWS, Chosen, Confirmed, Report
from search.deciding.trainings import TrainedEpoch
from search.reporting.report import Reported
from search.text import duration, percent, plural


def follow(steps: Iterable[DecisionStep | Reported], *, console: Console) -> Report:
    """A line for every epoch, a table for every result; returns the report."""
    report: Report | None = None
    say = line_printer(console)
    for step in steps:
        match step:
            case Planned():
                say(f"{step.machine}; {step.data}; about {duration(step.plan.seconds)}")
                say(f"study {step.study}: {step.plan.title}")
                if step.earlier_openings:
                    times = plural(step.earlier_openings, "time")
                    say(f"warning: the test set of this study was opened {times} before", style="yellow")
            case TrainedEpoch():
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
    table = columns("trial", "mean", "by seed", "MFLOPs", "", title="confirmed with fresh seeds")
    for row in confirmation:
        seeds = " ".join(percent(accuracy) for accuracy in row.accuracies)
        chosen = "chosen" if row.chosen else ""
        table.add_row(str(row.trial), percent(row.mean), seeds, f"{row.flops / 1e6:.1f}", chosen)
    return table


def report_table(report: Report) -> Group:
    """The answer, its number and its claims."""
    test, recommendation = report.test, report.recommendation
    accuracy = f"{percent(test.accuracy)}  [{percent(test.interval.low)} to {percent(test.interval.high)}]"
    style = "bold green" if recommendation.verdict == "build" else "bold yellow"
    grid = Table.grid(padding=(0, 2))
    grid.add_row("test accuracy", Text(accuracy, "bold"))
    grid.add_row("test images", f"{test.n:,}, {plural(len(test.seeds), 'seed')}, no test-time views")
    grid.add_row("with test-time views", f"{percent(test.accuracy_with_views)}, nothing rests on it")
    grid.add_row("test set opened", plural(len(report.openings), "time"))
    for claim in recommendation.claims:
        grid.add_row(Text(f"{claim.name} claims {percent(claim.accuracy)}"), Text(claim.verdict, "bold"))
    grid.add_row("verdict", Text(recommendation.verdict, style))
    warning = "" if report.official else f"{report.data}: a rehearsal, not to be signed.\n"
    reasons = " ".join(recommendation.reasons)
    return Group(grid, Text(), Text(warning, "yellow"), Text(reasons), Text(), Text(ABOUT_VIEWS))
