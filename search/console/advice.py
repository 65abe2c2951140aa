"""What a study says about its space, as a table and lines."""

from __future__ import annotations

import shlex

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.inspecting.advise import Advice

STYLES = {"matters": "green", "never mattered": "yellow", "cannot be told": "dim"}


def advice_text(advice: Advice) -> Group:
    """What mattered, what changes in the next space and why, and how to search it."""
    table = Table("parameter", "importance", "by chance", "", box=None, padding=(0, 2))
    for row in advice.importances:
        chance = f"{row.chance_low:.2g} to {row.chance_high:.2g}"
        table.add_row(row.name, f"{row.value:.2g}", chance, Text(row.verdict, STYLES[row.verdict]))
    changes = [Text.assemble((name, "bold"), f": {change}") for name, change in advice.changes.items()]
    return Group(
        Text(f"study {advice.study}: {advice.summary}"),
        *([table] if advice.importances else []),
        *(changes or [Text("No parameter changes.")]),
        Text(f"The next space, with the best trial as a baseline: {advice.file}"),
        Text(shlex.join(advice.command), "bold"),
    )
