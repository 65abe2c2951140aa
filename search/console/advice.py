"""What a study says of its space, as tables and lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.inspecting.advise import Advice
from spaces.parameter import shown

SHOWN = 8  # ends that a table has at most, the likeliest first
STYLES = {"matters": "green", "never mattered": "yellow", "cannot be told": "dim"}


def advice_text(advice: Advice) -> Group:
    """What the best trials press against, what mattered, what is absent; the next space, and how to search it."""
    head = Text.assemble(
        "study ", (advice.study, "bold"), f": {advice.complete} complete trials, of which the best {advice.best} are "
        "held against draws from the ranges",
    )  # fmt: skip
    if advice.early:
        missing = advice.needed - advice.complete
        early = f"Too early to tell more: that takes {advice.needed} complete trials, {missing} more than there are."
        return Group(head, Text(early, "yellow"), Text(), *_next(advice))
    return Group(head, Text(), *_ends(advice), *_importances(advice), *_absent(advice), *_next(advice))


def _ends(advice: Advice) -> Iterator[RenderableType]:
    pressed = sum(end.pressed for end in advice.ends)
    table = Table(title="Bounds that the best press against", title_justify="left", box=None, padding=(0, 2))
    table.add_column("parameter")
    table.add_column("end")
    for column in ("there", "by chance", "p", "p by Holm"):
        table.add_column(column, justify="right")
    for end in advice.ends[: max(SHOWN, pressed)]:
        there, chance = f"{end.there} of {end.best}", f"{end.share * end.best:.1f}"
        numbers = (there, chance, f"{end.p:.2g}", f"{end.adjusted:.2g}")
        table.add_row(end.name, end.side, *numbers, style="bold" if end.pressed else "dim")
    note = f"{len(advice.ends)} ends were looked at; below 0.05 by Holm the best press against one."
    yield from (table, Text(note, "dim"), Text())


def _importances(advice: Advice) -> Iterator[RenderableType]:
    table = Table(title="What mattered", title_justify="left", box=None, padding=(0, 2))
    table.add_column("parameter")
    for column in ("share", "importance", "90 % interval", "noise to", "evenly drawn", "trials"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in advice.importances:
        numbers = (f"{row.share:.0%}", f"{row.value:.2g}", f"{row.low:.2g} .. {row.high:.2g}", f"{row.noise:.2g}")
        table.add_row(row.name, *numbers, f"p {row.even:.2g}", str(row.trials), Text(row.verdict, STYLES[row.verdict]))
    note = (
        "PED-ANOVA over complete trials only. An interval that reaches across the noise says nothing either way, "
        "and neither does a low one where the sampler did not draw evenly any more (p below 0.05)."
    )
    yield from (table, Text(note, "dim"), Text())


def _absent(advice: Advice) -> Iterator[RenderableType]:
    for row in advice.absent:
        text = f"{row.name}: {shown(row.option)} is in none of the best {row.best}, and in {row.trials} of all"
        yield Text(f"{text} (by chance: {row.chance:.1%})")
    if advice.absent:
        yield Text()


def _next(advice: Advice) -> Iterator[RenderableType]:
    for change in advice.changes:
        after = f"{change.before} -> {change.after}" if change.after else f"stays {change.before}"
        yield Text.assemble((f"{change.name}: {after}", "bold"), f"; {change.why}")
    yield from map(Text, advice.notes)
    if not advice.changes:
        yield Text("Nothing of the space changes.")
    yield Text(f"The next space, with the best trial as a baseline: {advice.file}")
    study = ("--study", f"{advice.study}-next", "--carry-over", advice.study, *advice.where)
    yield Text(shlex.join(["cifar-search", "run", "--space", str(advice.file), *study]), "bold")
