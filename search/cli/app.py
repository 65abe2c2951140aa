"""The program, and what its commands share: options, exit codes, the way to print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Search a CIFAR-10 classifier, confirm it, test it once, and recommend: build in-house, or buy.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Trials = Annotated[int, typer.Option(help="Finished trials in total, over all starts.")]
SpaceName = Annotated[
    str | None, typer.Option("--space", help="A shipped space or a file.  [default: fast, or wide on a GPU]")
]
StudyName = Annotated[str | None, typer.Option("--study", help="Name of the study.")]
Folder = Annotated[Path, typer.Option("--runs", help="Folder for all that is left behind.")]
Storage = Annotated[str | None, typer.Option(help="Optuna storage URL.  [default: sqlite in the folder of runs]")]
Data = Annotated[str | None, typer.Option(help="Folder of CIFAR-10, or `synthetic`.  [default: CIFAR_SEARCH_DATA]")]
Slots = Annotated[str | None, typer.Option(help="Trials at a time, or auto.  [default: one per GPU or CPU core to 4]")]
Compile = Annotated[str | None, typer.Option(help="torch.compile each network: default or reduce-overhead.")]
Device = Annotated[str | None, typer.Option(help="cuda or cpu.  [default: cuda if there is one]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SPACE_EXIT, STUDY_EXIT = 2, 4  # of a command that finds something wrong with a space, with a study


def console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr)


def print_json(data: dict[str, Any]) -> None:
    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def go_on() -> None:
    import shlex

    from studies.storage import masked

    command = shlex.join(["cifar-search", *(masked(word) for word in sys.argv[1:])])
    console().print(f"go on with: {command}", soft_wrap=True, highlight=False, markup=False)
