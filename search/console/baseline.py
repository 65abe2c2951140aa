"""Draws a published recipe while it is trained again."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from search.console.terminal import line_printer
from search.deciding.baseline import BaselinePlanned, BaselineReproduction, BaselineStep
from search.deciding.evidence import ABOUT_VIEWS
from search.text import duration, percent
from search.training.result import EpochResult


def follow(steps: Iterable[BaselineStep], *, console: Console) -> BaselineReproduction:
    """A line for every epoch, a table at the end; returns the result."""
    reproduction: BaselineReproduction | None = None
    say = line_printer(console)
    for step in steps:
        match step:
            case BaselinePlanned():
                say(f"{step.machine}; {step.data}; about {duration(step.length.seconds)}")
                say(f"{step.published.name}: {step.published.title}; {_budget(step)}")
            case EpochResult():
                say(f"epoch {step.epoch}/{step.epochs}: {percent(step.validation_accuracy)} validation")
            case BaselineReproduction():
                reproduction = step
    assert reproduction is not None, "a baseline ends with its result"
    console.print()
    console.print(result_table(reproduction))
    return reproduction


def result_table(result: BaselineReproduction) -> Group:
    """Reported against reproduced."""
    published, test = result.published, result.test
    reproduced = f"{percent(test.accuracy)}  [{percent(test.interval.low)} to {percent(test.interval.high)}]"
    grid = Table.grid(padding=(0, 2))
    grid.add_row("reported", f"{percent(published.reported / 100)}, chosen by {published.chosen_by}")
    grid.add_row("reproduced", Text(f"{reproduced}, {result.verdict}", "bold"))
    grid.add_row("test images", f"{test.n:,}, opened once, the last epoch's weights of one seed, no test-time views")
    grid.add_row("with test-time views", f"{percent(test.accuracy_with_views)}, nothing rests on it")
    grid.add_row("validation", f"{percent(result.validation_accuracy)} of {result.validation_images:,} images")
    grid.add_row("trained", f"{_length(result)} in {duration(result.seconds)}")
    if not result.official:
        grid.add_row("", Text("generated images: a rehearsal, the numbers mean nothing", "yellow"))
    return Group(grid, Text(), Text(ABOUT_VIEWS))


def _budget(step: BaselinePlanned) -> str:
    minutes = step.length.minutes
    return f"{_length(step)}, " + (f"a budget of {minutes:g} minutes" if minutes is not None else "no budget")


def _length(step: BaselinePlanned | BaselineReproduction) -> str:
    part = f" on {step.length.images:,} images" if step.length.images else ""
    return f"{step.length.epochs} of {step.published.epochs} published epochs{part}"
