"""The terminal that everything is drawn in."""

import time
from collections.abc import Callable
from copy import copy
from functools import partial

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.segment import ControlType
from rich.table import Column, Table

from search.console.streams import reader_left

QUIET = 1.0  # seconds without a word about what may soon be done
NARROW = 12  # letters, to which a column of text may be folded


def console(*, stderr: bool = False) -> Console:
    """The terminal itself, or plain lines where the output is none; where nobody reads it, that of the errors.

    A string is text, whatever brackets it has.
    """
    return Console(stderr=stderr or reader_left(), markup=False, emoji=False, highlight=False)


def line_printer(console: Console) -> Callable[..., None]:
    """Prints a line as it is: no colours for numbers, no styles in square brackets, which a name may hold."""
    return partial(console.print, highlight=False, markup=False, soft_wrap=True)


class ProgressLine:
    """How far something is, if it takes a while: a line that a terminal draws again, or now and then another one."""

    def __init__(self, console: Console) -> None:
        self._console, (self._end, self._pause) = console, ("\r", 0.1) if console.is_terminal else ("\n", 10.0)
        self._next: float | None = None  # when something is said again

    def __call__(self, title: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._next is None:
            self._next = now + QUIET
        elif self._console.is_terminal and not total:
            self._console.control(Control((ControlType.ERASE_IN_LINE, 2)))
        elif total and now >= self._next:
            self._next = now + self._pause
            line_printer(self._console)(f"{title}: {done:,} of {total:,}", end=self._end)


class Columns(Table):
    """A table that folds text where it is too wide, then leaves out numbers, the last ones first."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = copy(self)
        for left_out in (None, *reversed([column for column in self.columns[2:] if column.no_wrap])):
            if sum(_least(column) + sum(shown.padding[1::2]) for column in shown.columns) <= options.max_width:
                break
            shown.padding = (0, 1)
            shown.columns = [column for column in shown.columns if column is not left_out]
        yield from Table.__rich_console__(shown, console, options)


def columns(*names: str, title: str | None = None, gap: int = 2) -> Table:
    """An empty table without lines; `>` before the name of a column of numbers aligns it to the right."""
    table = Columns(title=title, title_justify="left", box=None, padding=(0, gap))
    for name in names:
        head, number = name.removeprefix(">"), name[:1] == ">"
        table.add_column(head, overflow="fold", justify="right" if number else "left", no_wrap=number)
    return table


def _least(column: Column) -> int:
    widest = max(cell_len(line) for cell in (column.header, *column.cells) for line in str(cell).split("\n"))
    return widest if column.no_wrap else min(widest, NARROW)
