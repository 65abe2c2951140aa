"""What was found in a data set, in a terminal."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.console.terminal import columns
from search.inspecting.explore import Exploration
from search.text import percent, some

MOST = 10  # classes, files or likely errors


def explored_text(found: Exploration, *, page: Path) -> Group:
    """The numbers; the images are on the page."""
    return Group(
        Text(found.title, "bold"),
        *(Text(f"note: {note}", "dim") for note in found.notes),
        _classes(found),
        *map(Text, _sentences(found)),
        Text(f"the page with the images: {page}", "bold"),
    )


def _classes(found: Exploration) -> Table:
    """The largest first."""
    table, total = columns("class", ">training", ">share", ">test"), len(found.training)
    ranked = sorted(found.classes, key=lambda each: -each.training)
    for each in ranked[:MOST]:
        table.add_row(Text(each.name), f"{each.training:,}", percent(each.training / total), f"{each.test:,}")
    more = f" ({len(ranked) - MOST} more are not shown)" if len(ranked) > MOST else ""
    table.add_row(f"{len(ranked)} classes{more}", f"{total:,}", "", f"{len(found.test):,}", style="bold")
    return table


def _sentences(found: Exploration) -> Iterator[str]:
    yield found.balance
    means, deviations = (" / ".join(f"{number:.2f}" for number in numbers) for numbers in (found.mean, found.std))
    yield f"channels of the training images: mean {means}, deviation {deviations}"
    for kind, counted in found.originals.items():
        yield f"{kind} of the files: {', '.join(f'{name} {count:,}' for name, count in counted.items())}"
    for part, pairs in found.duplicates.items():
        numbers = (
            f"{len(pairs.exact):,} equal, {len(pairs.near):,} near, {found.conflicts(part):,} pairs of two classes"
        )
        yield f"{part} images that are among the training images{' twice' * (part == 'training')}: {numbers}"
    if errors := found.label_errors:
        names = [
            f"{found.about('training', each.image)[1]} ({each.label}, seen as {each.seen})" for each in errors.found
        ]
        first = f": {some(names, MOST)}" if names else ""
        yield f"likely label errors: {len(names):,} of {errors.images:,} validation images by {errors.asked}{first}"
