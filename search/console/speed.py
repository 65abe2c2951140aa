"""The speed of this machine as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.benchmarking.bench import BenchRow, Findings
from search.benchmarking.time_to_accuracy import IMAGES, Estimate, Reach, Way
from search.measuring.dataloader_baseline import LOADERS, LoaderComparison
from search.text import duration, percent


def bench_tables(found: Findings) -> Group:
    """All that was measured, under the name of the machine."""
    return Group(Text(found.machine, "bold"), *_tables(found))


def _tables(found: Findings) -> Iterator[RenderableType]:
    if found.rows:
        yield Text()
        yield _families(found.rows)
        yield from _not_measured(found.rows)
        yield Text()
        yield _estimates(found.estimates)
    if any(row.compilation for row in found.rows):
        yield Text()
        yield _compiled(found.rows)
    if found.reached:
        yield Text()
        yield _reached(found.reached)
    if found.usual:
        yield Text()
        yield _usual(found.usual)


def _table(title: str, *, words: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for column in words:
        table.add_column(column)
    for column in numbers:
        table.add_column(column, justify="right")
    return table


def _families(rows: tuple[BenchRow, ...]) -> Table:
    numbers = ("training", "bare", "share", "augmenting", "evaluating")
    table = _table("images per second", words=("space", "baseline"), numbers=numbers)
    for row in rows:
        if found := row.throughput:
            table.add_row(
                row.space,
                row.baseline,
                f"{found.images_per_second:,.0f}",
                f"{found.bare_images_per_second:,.0f}",
                f"{100 * found.share_of_bare_loop:.1f} %",
                f"{100 * found.augmentation_share:.1f} %",
                f"{found.evaluation_images_per_second:,.0f}",
            )
    return table


def _not_measured(rows: tuple[BenchRow, ...]) -> Iterator[Text]:
    yield from (Text(f"  {row.space}: not measured, {row.why_not}") for row in rows if row.why_not)


def _estimates(found: tuple[Estimate, ...]) -> Table:
    title = "time to a validation accuracy, an estimate by these speeds"
    table = _table(title, words=("target", "training"), numbers=("estimate",))
    for each in found:
        if each.way is None:
            table.add_row(f"{each.target} %", "no length is measured yet", "-")
        elif each.seconds is None:
            table.add_row(f"{each.target} %", _way(each.way), f"with --space {each.way.space}")
        else:
            table.add_row(f"{each.target} %", _way(each.way), f"about {duration(each.seconds)}")
    return table


def _reached(found: tuple[Reach, ...]) -> Table:
    title = "time to a validation accuracy, measured from a cold start"
    numbers = ("seconds", "evaluating", "validation")
    table = _table(title, words=("target", "training"), numbers=numbers)
    for each in found:
        reached = f"{percent(each.accuracy)}, {'met' if each.met else 'not met'}"
        table.add_row(
            f"{each.target} %", _way(each.way), f"{each.seconds:.1f}", f"{each.evaluation_seconds:.1f}", reached
        )
    return table


def _way(way: Way) -> str:
    return f"{way.space}, {way.baseline}, {way.epochs} epoch{'s' * (way.epochs > 1)}"


def _usual(found: Mapping[str, LoaderComparison]) -> Table:
    title = f"images per second beside a DataLoader with PIL transforms in {LOADERS} processes, float32"
    table = _table(title, words=("network",), numbers=("here", "usual", "ratio"))
    for name, each in found.items():
        speeds = (f"{each.images_per_second:,.0f}", f"{each.usual_images_per_second:,.0f}")
        table.add_row(name, *speeds, f"{each.ratio:.2f}")
    return table


def _compiled(rows: tuple[BenchRow, ...]) -> Table:
    numbers = ("compiling", "images/s", "compiled", "pays after")
    table = _table("compiling the network for training", words=("space", "mode"), numbers=numbers)
    for row in rows:
        if found := row.compilation:
            images = found.pays_after
            pays = "never" if images is None else f"{images:,.0f} images, {images / IMAGES:.1f} epochs"
            speeds = (f"{found.plain_images_per_second:,.0f}", f"{found.images_per_second:,.0f}")
            table.add_row(row.space, found.mode, f"{found.seconds:.1f} s", *speeds, pays)
    return table
