"""Draws a decision while it is made."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from search.console.tables import confirmation_table, report_table
from search.console.words import duration, percent
from search.deciding.decide import Chosen, Planned, Reported, Step
from search.deciding.evidence import Report
from search.deciding.trainings import Trained


def follow(steps: Iterable[Step], *, console: Console) -> Report:
    """A line for every epoch, a table for every result; returns the report."""
    report: Report | None = None
    for step in steps:
        match step:
            case Planned():
                time = duration(step.plan.seconds)
                console.print(f"{step.machine}; {step.data}; about {time}", highlight=False, soft_wrap=True)
                console.print(f"study {step.study}: {step.plan.title}", highlight=False, soft_wrap=True)
                if step.earlier_openings:
                    times = f"{step.earlier_openings} time{'s' * (step.earlier_openings > 1)}"
                    console.print(f"warning: the test set of this study was opened {times} before", style="yellow")
            case Trained():
                score = percent(step.result.validation_accuracy or step.result.train_accuracy)
                kind = "validation" if step.result.validation_accuracy is not None else "training"
                place = f"{step.phase}: {step.name}, epoch {step.result.epoch}/{step.result.epochs}"
                console.print(f"{place}: {score} {kind}", highlight=False)
            case Chosen():
                for reason in step.dropped:
                    console.print(f"dropped: {reason}", style="yellow", soft_wrap=True)
                console.print(confirmation_table(step.confirmation))
            case Reported():
                report = step.report
                console.print()
                console.print(report_table(step.report))
                console.print(f"\nreport: {step.folder / 'report.md'}", highlight=False, soft_wrap=True)
    assert report is not None, "a decision ends with its report"
    return report
