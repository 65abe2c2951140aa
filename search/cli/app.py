"""The program, and what its commands share: options, exit codes, the way to print."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli.options import option_of
from search.cli.parsing import parse_compile_mode
from search.searching.request import Search

app = typer.Typer(
    help="Search a CIFAR-10 classifier, confirm it, test it once, and recommend: build in-house, or buy.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

StudyName = Annotated[str | None, option_of(Search, "study")]
Folder = Annotated[Path, option_of(Search, "folder")]
Storage = Annotated[str | None, option_of(Search, "storage")]
Data = Annotated[str | None, option_of(Search, "data")]
Device = Annotated[str | None, option_of(Search, "device")]
Compile = Annotated[Any, option_of(Search, "compile", parse_compile_mode)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SPACE_EXIT, STUDY_EXIT = 2, 4  # of a command that finds something wrong with a space, with a study


def console(*, stderr: bool = False) -> Any:
    from search.console import terminal

    return terminal.console(stderr=stderr)


def print_line(text: str, *, stderr: bool = False) -> None:
    from search.console.terminal import line_printer

    line_printer(console(stderr=stderr))(text)


def print_json(data: dict[str, Any]) -> None:
    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def show(found: Any, draw: Callable[[Any], Any], *, as_json: bool, soft_wrap: bool = False) -> None:
    """Print what a command found: as JSON, or drawn."""
    if as_json:
        print_json(found.as_json() if hasattr(found, "as_json") else asdict(found))
    else:
        console().print(draw(found), soft_wrap=soft_wrap)


def print_next_command() -> None:
    """Name the command that goes on with a search: the one that was given, without its password."""
    import shlex

    from studies.storage import masked

    print_line(f"go on with: {shlex.join(['cifar-search', *map(masked, sys.argv[1:])])}")
