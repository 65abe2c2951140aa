"""What was found in photos, as a table for each."""

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.console.terminal import columns
from search.text import percent, plural

if TYPE_CHECKING:
    from search.shipping.locate import Locations


def located_text(found: "Locations") -> Group:
    """The boxes of each photo, where they are drawn, and what they are worth."""
    parts: list[Table | Text] = []
    for row in found.photos:
        table = columns("answer", ">confidence", ">left", ">top", ">right", ">bottom")
        for box in row.boxes:
            edges = (str(edge) for edge in (box.left, box.top, box.right, box.bottom))
            table.add_row(Text(box.label), percent(box.confidence), *edges)
        title = f"{row.photo}: {plural(len(row.boxes), 'object') if row.boxes else 'nothing that the model knows'}"
        parts += [Text(title, "bold"), *([table] if row.boxes else []), Text(f"{row.drawn}, {row.heat}"), Text()]
    return Group(*parts, Text(found.limits, "dim"))
