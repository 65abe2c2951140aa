"""Search spaces, and what was found about one, as tables and lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.text import percent, plain
from spaces import Space
from spaces.baselines import PublishedRecipe
from spaces.parameter import Fixed, Value, condition_text, shown

if TYPE_CHECKING:
    from search.inspecting.check import Checked, Finding  # torch, for which a list need not wait

STYLES = {"error": "red", "warning": "yellow"}


def spaces_table(spaces: Sequence[Space]) -> Table:
    """One line for each."""
    table = _table("name", "family")
    table.add_column("vary", justify="right")
    table.add_column("trial", justify="right")
    table.add_column("")
    for space in spaces:
        varying = sum(not isinstance(parameter.kind, Fixed) for parameter in space.parameters)
        length = f"{space.length.trial} epochs" if space.length else "-"
        table.add_row(space.name, space.family, str(varying), length, Text(space.description))
    return table


def space_text(space: Space) -> Group:
    """Everything that a space file says."""
    head = Text.assemble((space.name, "bold"), f": {space.description} (family {space.family}, {space.source})")
    parameters = _table("name", "kind", "range", "condition")
    for parameter in space.parameters:
        kind, when = parameter.kind, condition_text(parameter.when) if parameter.when else ""
        style = "dim" if isinstance(kind, Fixed) else ""
        parameters.add_row(parameter.name, type(kind).__name__.lower(), Text(kind.describe()), Text(when), style=style)
    return Group(head, Text(), parameters, Text(), *_length(space), *_limits(space), *_baselines(space))


def checked_text(checked: Checked) -> Group:
    """Shares, sizes, groups, findings."""
    share = checked.infeasible / checked.draws
    head = Text.assemble(
        "space ", (checked.space, "bold"), f": {checked.draws:,} draws, {share:.1%} of them may not be trained"
    )
    return Group(head, *_reasons(checked), Text(), _sizes(checked), Text(), *_groups(checked), Text(), *_found(checked))


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _length(space: Space) -> Iterator[RenderableType]:
    if space.length:
        yield Text(f"length: {space.length.trial} epochs of a trial, {space.length.retrain} of a final training")


def _limits(space: Space) -> Iterator[RenderableType]:
    for measure, maximum in space.limits.items():
        yield Text(f"limit: {measure} at most {maximum:,.12g}")


def _baselines(space: Space) -> Iterator[RenderableType]:
    for baseline in space.baselines:
        varying = space.stored(baseline.values)
        values = ", ".join(f"{name} {_value(baseline.values[name])}" for name in varying)
        yield Text(f"baseline {baseline.name}: {values}")


def _value(value: Value) -> str:
    return plain(value) if isinstance(value, float) else shown(value)


def _reasons(checked: Checked) -> Iterator[Text]:
    for measure, count in checked.over.items():
        yield Text(f"  over the limit of {measure}: {count / checked.draws:.1%}")
    if checked.impossible:
        yield Text(f"  no network: {checked.impossible / checked.draws:.1%}, most often: {checked.commonest}")


def _sizes(checked: Checked) -> Table:
    table = _table("network")
    for column in ("smallest", "median", "largest", "limit"):
        table.add_column(column, justify="right")
    for measure, size in checked.sizes.items():
        limit = "-" if size.maximum is None else f"{size.maximum:,.12g}"
        table.add_row(measure, *(f"{number:,.0f}" for number in (size.smallest, size.median, size.largest)), limit)
    return table


def _groups(checked: Checked) -> Iterator[Text]:
    if len(checked.groups) > 1:
        yield Text("drawn jointly by TPE, each group independently of the others:")
        for group in checked.groups:
            yield Text(f"  in {group.share:.1%} of the draws: {', '.join(group.parameters)}")
    else:
        yield Text("TPE draws all parameters jointly")


def _found(checked: Checked) -> Iterator[Text]:
    for finding in checked.findings:
        yield _finding(finding)
    if not checked.findings:
        yield Text("no findings", "green")


def _finding(finding: Finding) -> Text:
    return Text(f"{finding.level}: {finding.message}", STYLES[finding.level])


def baselines_table(known: Mapping[str, PublishedRecipe]) -> Table:
    """What can be trained again."""
    table = Table(box=None, padding=(0, 2), title="published recipes: cifar-search baseline NAME", title_justify="left")
    for column, justify in (("name", "left"), ("reported", "right"), ("epochs", "right"), ("what", "left")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for published in known.values():
        what = Text.assemble(published.title, "\n", (published.source, "dim"))
        table.add_row(published.name, percent(published.reported / 100), str(published.epochs), what)
    return table
