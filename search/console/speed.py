"""The speed of this machine as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.benchmarking.bench import BenchResult
from search.benchmarking.time_to_accuracy import IMAGES, REACHED, KnownTraining
from search.measuring.dataloader_baseline import LOADERS
from search.text import duration, percent, plural

WORDS = ("space", "baseline", "mode", "network")  # columns that are aligned on the left


def bench_tables(result: BenchResult) -> Group:
    """All that was measured, under the name of the machine."""
    return Group(Text(result.machine, "bold"), *_tables(result))


def _tables(result: BenchResult) -> Iterator[RenderableType]:
    speeds = (
        (row.space, row.baseline, speed.images_per_second, speed.bare_images_per_second,
         _share(speed.share_of_bare_loop), _share(speed.augmentation_share), speed.evaluation_images_per_second)
        for row in result.spaces if (speed := row.throughput)
    )  # fmt: skip
    columns = "space, baseline, training, bare, share, augmenting, evaluating"
    yield from _table("images per second", columns, speeds)
    yield from (Text(f"  {row.space}: not measured, {row.why_not}") for row in result.spaces if row.why_not)
    if result.spaces:
        estimates = (
            (f"{target} %", _title(REACHED[target]), "-" if seconds is None else f"about {duration(seconds)}")
            for target, seconds in result.estimated_seconds.items()
        )
        title = "time to a validation accuracy, an estimate by these speeds"
        yield from _table(title, "target, baseline, estimate", estimates)
    compilations = (
        (row.space, cost.mode, f"{cost.seconds:.1f} s", cost.plain_images_per_second, cost.images_per_second,
         "never" if (n := cost.pays_after) is None else f"{n:,.0f} images, {n / IMAGES:.1f} epochs")
        for row in result.spaces if (cost := row.compilation)
    )  # fmt: skip
    columns = "space, mode, compiling, images/s, compiled, pays after"
    yield from _table("compiling the network for training", columns, compilations)
    reached = (
        (f"{each.target} %", _title(each.training), f"{each.seconds:.1f}",
         f"{percent(each.accuracy)}, {'met' if each.met else 'not met'}")
        for each in result.reached
    )  # fmt: skip
    title = "time to a validation accuracy, measured from a cold start"
    yield from _table(title, "target, baseline, seconds, validation", reached)
    title = f"images per second beside a DataLoader with PIL transforms in {LOADERS} processes, float32"
    beside = (
        (each.network, each.images_per_second, each.dataloader_images_per_second, f"{each.ratio:.2f}")
        for each in result.dataloader
    )
    yield from _table(title, "network, here, DataLoader, ratio", beside)


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _title(training: KnownTraining | None) -> str:
    if training is None:
        return "no length is measured yet"
    return f"{training.space}, {training.baseline}, {plural(training.epochs, 'epoch')}"


def _table(title: str, columns: str, rows: Iterable[tuple[str | float | None, ...]]) -> Iterator[RenderableType]:
    """A table where there are rows; a number is images per second."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for column in columns.split(", "):
        table.add_column(column, justify="left" if column in WORDS else "right")
    for row in rows:
        table.add_row(*(f"{cell:,.0f}" if isinstance(cell, float) else cell for cell in row))
    if table.rows:
        yield from (Text(), table)
