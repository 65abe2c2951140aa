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
from search.cli.options import request_options
from search.inspecting.request import ReproduceRequest


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
    from search.benchmarking.bench import bench as measure
    from search.console.speed import bench_tables

    result = measure(space or (), targets=reach or (), usual=usual, compile=compile, data=data, device=device)
    show(result, bench_tables, as_json=as_json)


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
    study: StudyName = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Hold the ledger of a study against what is stored and what lies in its folder."""
    from search.console.ledger import diagnosis_text
    from search.inspecting import doctor as doctors

    done = doctors.fix(runs, storage=storage, study=study) if fix else ()
    diagnosis = doctors.examine_study(runs, storage=storage, study=study)
    if as_json:
        print_json({**diagnosis.as_json(), "done": done})
    else:
        console().print(diagnosis_text(diagnosis, done=done), soft_wrap=True)
    if diagnosis.findings:
        raise typer.Exit(STUDY_EXIT)


@app.command()
@request_options()
def reproduce(request: ReproduceRequest, *, as_json: AsJson = False) -> None:
    """Train a trial again from its record alone, and compare every epoch."""
    from search.console.ledger import follow
    from search.inspecting.reproduce import reproduce as train_again

    result = follow(train_again(request), console=console(stderr=as_json))
    if as_json:
        print_json(result.as_json())
    if not result.confirmed:
        raise typer.Exit(STUDY_EXIT)
