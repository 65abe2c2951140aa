"""What was found in a data set, in a terminal."""

from pathlib import Path

from rich.console import Group
from rich.text import Text

from search.console.terminal import columns
from search.inspecting.explore import Exploration
from search.text import percent

MOST_CLASSES = 20


def explored_text(found: Exploration, *, page: Path) -> Group:
    """The numbers; the images are on the page."""
    table, total = columns("class", ">training", ">share", ">test"), len(found.images["training"])
    for name, count in [*found.classes.items()][:MOST_CLASSES]:
        training, test = count["training"], count["test"]
        table.add_row(Text(name), f"{training:,}", percent(training / total), f"{test:,}")
    notes = (Text(f"note: {note}", "dim") for note in found.notes)
    topics = {**found.sentences(), "page": f"{page}, with the images and all classes"}
    sentences = (Text.assemble((topic, "bold"), f": {text}") for topic, text in topics.items())
    return Group(Text(found.title), *notes, table, *sentences)
