"""The speed of this machine as a table."""

from __future__ import annotations

from rich.table import Table

from search.running.bench import BenchRow


def bench_table(rows: list[BenchRow]) -> Table:
    """Speed of each family."""
    table = Table(title=rows[0].machine if rows else None, title_justify="left", box=None, padding=(0, 2))
    for column in ("space", "baseline"):
        table.add_column(column)
    for column in ("images/s", "bare loop", "share"):
        table.add_column(column, justify="right")
    for row in rows:
        found = row.throughput
        speeds = (f"{found.images_per_second:,.0f}", f"{found.bare_images_per_second:,.0f}")
        table.add_row(row.space, row.baseline, *speeds, f"{100 * found.share_of_bare_loop:.1f} %")
    return table
