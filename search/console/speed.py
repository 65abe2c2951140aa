"""The speed of this machine as tables."""

from rich.console import Group, RenderableType
from rich.text import Text

from search.benchmarking.bench import IMAGES, REACHED, BenchResult, SpaceSpeed
from search.console.terminal import columns
from search.measuring.compilation import Compilation
from search.measuring.dataloader_baseline import LOADERS
from search.measuring.throughput import Throughput
from search.text import duration, percent, plural

Row = tuple[str | float | None, ...]  # a float is images per second


def bench_tables(result: BenchResult) -> Group:
    """All that was measured, under the name of the machine."""
    parts: list[RenderableType] = [Text(result.machine, "bold")]

    def add(title: str, names: tuple[str, ...], rows: list[Row]) -> None:
        table = columns(*names, title=title, gap=1)
        for row in rows:
            table.add_row(*(f"{cell:,.0f}" if isinstance(cell, float) else cell for cell in row))
        parts.extend([Text(), table] if rows else [])

    rows = [_speeds(row, row.throughput) for row in result.spaces if row.throughput]
    add("images per second", ("space", "baseline", ">training", ">bare", ">share", ">augmenting", ">evaluating"), rows)
    parts += [Text(f"  {row.space}: not measured, {row.why_not}") for row in result.spaces if row.why_not]
    times = result.estimated_seconds.items() if result.spaces else ()
    rows = [(*_target(target), "-" if seconds is None else f"about {duration(seconds)}") for target, seconds in times]
    add("time to a validation accuracy, an estimate by these speeds", (">target", "baseline", ">estimate"), rows)
    rows = [(row.space, *_compiling(row.compilation)) for row in result.spaces if row.compilation]
    add(
        "compiling the network for training",
        ("space", "mode", ">compiling", ">images/s", ">compiled", ">pays after"),
        rows,
    )
    rows = [
        (*_target(each.target), f"{each.seconds:.1f}", f"{percent(each.accuracy)}, {'met' if each.met else 'not met'}")
        for each in result.reached
    ]
    add(
        "time to a validation accuracy, measured from a cold start",
        (">target", "baseline", ">seconds", ">validation"),
        rows,
    )
    rows = [
        (each.network, each.images_per_second, each.dataloader_images_per_second, f"{each.ratio:.2f}")
        for each in result.dataloader
    ]
    title = f"images per second beside a DataLoader with PIL transforms in {LOADERS} processes, float32"
    add(title, ("network", ">here", ">DataLoader", ">ratio"), rows)
    return Group(*parts)


def _speeds(row: SpaceSpeed, speed: Throughput) -> Row:
    shares = (f"{100 * share:.1f} %" for share in (speed.share_of_bare_loop, speed.augmentation_share))
    speeds = speed.images_per_second, speed.bare_images_per_second
    return row.space, row.baseline, *speeds, *shares, speed.evaluation_images_per_second


def _compiling(cost: Compilation) -> Row:
    images = cost.pays_after
    pays = "never" if images is None else f"{images:,.0f} images, {images / IMAGES:.1f} epochs"
    return cost.mode, f"{cost.seconds:.1f} s", cost.plain_images_per_second, cost.images_per_second, pays


def _target(target: int) -> Row:
    if target not in REACHED:
        return f"{target} %", "no length is measured yet"
    known = REACHED[target]
    return f"{target} %", f"{known.space}, {known.baseline}, {plural(known.epochs, 'epoch')}"
