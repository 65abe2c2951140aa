"""The terminal that everything is drawn in."""

from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.table import Table


def console(*, stderr: bool = False) -> Console:
    """The terminal itself, or plain lines where the output is none; a string is text, whatever brackets it has."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def line_printer(console: Console) -> Callable[..., None]:
    """Prints a line as it is: no colours for numbers, no styles in square brackets, which a name may hold."""
    return partial(console.print, highlight=False, markup=False, soft_wrap=True)


def columns(*names: str, title: str | None = None, gap: int = 2) -> Table:
    """An empty table without lines; `>` before its name aligns a column to the right."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, gap))
    for name in names:
        table.add_column(name.removeprefix(">"), overflow="fold", justify="right" if name[:1] == ">" else "left")
    return table
