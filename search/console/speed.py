"""The speed of this machine as tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.benchmarking.bench import IMAGES, REACHED, BenchResult, KnownTraining, Reach
from search.measuring.compilation import Compilation
from search.measuring.dataloader_baseline import LOADERS
from search.measuring.throughput import Throughput
from search.text import duration, percent, plural

WORDS = ("space", "baseline", "mode", "network")  # columns that are aligned on the left

Cells = tuple[str | float | None, ...]
"""A row of a table; a float is images per second."""


def bench_tables(result: BenchResult) -> Group:
    """All that was measured, under the name of the machine."""
    parts: list[RenderableType] = [Text(result.machine, "bold")]

    def add(title: str, columns: str, rows: list[Cells]) -> None:
        table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
        for column in columns.split(", "):
            table.add_column(column, justify="left" if column in WORDS else "right")
        for row in rows:
            table.add_row(*(f"{cell:,.0f}" if isinstance(cell, float) else cell for cell in row))
        parts.extend([Text(), table] if rows else [])

    rows = [(row.space, row.baseline, *_speeds(row.throughput)) for row in result.spaces if row.throughput]
    add("images per second", "space, baseline, training, bare, share, augmenting, evaluating", rows)
    parts += [Text(f"  {row.space}: not measured, {row.why_not}") for row in result.spaces if row.why_not]
    rows = [
        (f"{target} %", _title(REACHED.get(target)), f"about {duration(seconds)}" if seconds else "-")
        for target, seconds in result.estimated_seconds.items()
    ]
    add(
        "time to a validation accuracy, an estimate by these speeds",
        "target, baseline, estimate",
        rows if result.spaces else [],
    )
    rows = [(row.space, *_compiling(row.compilation)) for row in result.spaces if row.compilation]
    add("compiling the network for training", "space, mode, compiling, images/s, compiled, pays after", rows)
    rows = [(f"{each.target} %", _title(each.training), f"{each.seconds:.1f}", _met(each)) for each in result.reached]
    add("time to a validation accuracy, measured from a cold start", "target, baseline, seconds, validation", rows)
    title = f"images per second beside a DataLoader with PIL transforms in {LOADERS} processes, float32"
    rows = [
        (each.network, each.images_per_second, each.dataloader_images_per_second, f"{each.ratio:.2f}")
        for each in result.dataloader
    ]
    add(title, "network, here, DataLoader, ratio", rows)
    return Group(*parts)


def _speeds(speed: Throughput) -> Cells:
    shares = (f"{100 * share:.1f} %" for share in (speed.share_of_bare_loop, speed.augmentation_share))
    return speed.images_per_second, speed.bare_images_per_second, *shares, speed.evaluation_images_per_second


def _compiling(cost: Compilation) -> Cells:
    images = cost.pays_after
    pays = "never" if images is None else f"{images:,.0f} images, {images / IMAGES:.1f} epochs"
    return cost.mode, f"{cost.seconds:.1f} s", cost.plain_images_per_second, cost.images_per_second, pays


def _met(reached: Reach) -> str:
    return f"{percent(reached.accuracy)}, {'met' if reached.met else 'not met'}"


def _title(training: KnownTraining | None) -> str:
    if training is None:
        return "no length is measured yet"
    return f"{training.space}, {training.baseline}, {plural(training.epochs, 'epoch')}"
