"""The ways in which commands print; Rich is imported when something is printed first."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any


def console(*, stderr: bool = False) -> Any:
    from search.console import terminal

    return terminal.console(stderr=stderr)


def print_line(text: str, *, stderr: bool = False) -> None:
    from search.console.terminal import line_printer

    line_printer(console(stderr=stderr))(text)


def print_json(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")


def progress_line() -> Any:
    """Says among the errors, which are no output, how far something is."""
    from search.console.terminal import ProgressLine

    return ProgressLine(console(stderr=True))


def show(found: Any, draw: Callable[[Any], Any], *, as_json: bool, soft_wrap: bool = False) -> None:
    """Print what a command found: as JSON, or drawn."""
    if as_json:
        print_json(found.as_json() if hasattr(found, "as_json") else asdict(found))
    else:
        console().print(draw(found), soft_wrap=soft_wrap)


def print_next_command() -> None:
    """Name the command that goes on with a search: the one that was given, without its password."""
    from search.searching.provenance import command_line

    print_line(f"go on with: {command_line()}")
