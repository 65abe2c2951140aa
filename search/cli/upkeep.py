"""Whether all is well: the machine's speed, a study's ledger, a trial's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.app import (
    STUDY_EXIT,
    AsJson,
    Compile,
    Data,
    Device,
    Folder,
    Storage,
    StudyName,
    app,
    console,
    print_json,
    show,
)


@app.command()
def bench(
    space: Annotated[
        list[str] | None, typer.Option(help="A space (repeatable).  [default: one of each family]")
    ] = None,
    reach: Annotated[list[int] | None, typer.Option(help="Train to PERCENT, and take the time (repeatable).")] = None,
    usual: Annotated[bool, typer.Option("--usual", help="Beside a DataLoader with PIL transforms.")] = False,
    compile: Compile = None,
    data: Data = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Images per second on this machine, beside a bare loop over ready tensors; --reach and --usual stand alone."""
    from search.benchmarking.bench import Request
    from search.benchmarking.bench import bench as measure
    from search.console.speed import bench_tables

    request = Request(
        spaces=tuple(space or ()), reach=tuple(reach or ()), usual=usual, compile=compile, data=data, device=device
    )
    show(measure(request), bench_tables, as_json=as_json)


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
    study: StudyName = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Hold the ledger of a study against what is stored and what lies in its folder."""
    from search.console.ledger import ledger_text
    from search.inspecting import doctor as doctors

    done = doctors.fix(runs, storage=storage, study=study) if fix else ()
    ledger = doctors.examine_study(runs, storage=storage, study=study)
    if as_json:
        print_json({**ledger.as_json(), "done": done})
    else:
        console().print(ledger_text(ledger, done=done), soft_wrap=True)
    if ledger.findings:
        raise typer.Exit(STUDY_EXIT)


@app.command()
def reproduce(
    trial: Annotated[int, typer.Argument(min=0, help="Number of the trial.")],
    study: StudyName = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    data: Data = None,
    device: Annotated[str | None, typer.Option(help="cuda or cpu.  [default: the record's]")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the weights if they are the lost ones.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a trial again from its record alone, and compare every epoch."""
    from search.console.ledger import follow
    from search.inspecting.reproduce import Request
    from search.inspecting.reproduce import reproduce as again

    request = Request(trial=trial, study=study, folder=runs, storage=storage, data=data, device=device, keep=keep)
    found = follow(again(request), console=console(stderr=as_json))
    if as_json:
        print_json(found.as_json())
    if not found.confirmed:
        raise typer.Exit(STUDY_EXIT)
