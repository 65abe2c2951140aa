"""Searching and deciding: from a study's first trial to a recommendation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.app import (
    AsJson,
    Folder,
    Storage,
    StudyName,
    app,
    console,
    print_json,
    print_line,
    print_next_command,
    show,
)
from search.cli.options import request_options
from search.cli.parsing import parse_claim, parse_compile_mode, parse_seconds, parse_slot_count, parse_slots
from search.deciding.request import Decision
from search.errors import UsageError
from search.searching.request import Search


@app.command()
@request_options(slots=parse_slots, compile=parse_compile_mode, timeout=parse_seconds, trial_timeout=parse_seconds)
def run(
    search: Search,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and forecast, and train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")] = False,
) -> None:
    """Search: start a study, or go on with it until it has its trials."""
    from search.console.watch import watch
    from search.searching import supervisor

    if dry_run:
        _forecast(search, as_json=as_json)
        return
    if as_json:
        raise UsageError("--json is for --dry-run; `cifar-search status --json` shows a search")
    closed = watch(supervisor.run(search), console=console())
    if closed.signal is not None or closed.out_of_time:
        print_next_command()
    if closed.signal is not None:
        raise typer.Exit(128 + closed.signal)


def _forecast(search: Search, *, as_json: bool) -> None:
    from search.console.dry_run import lines
    from search.searching.dry_run import dry_run

    forecast = dry_run(search, retraining=60 * Decision.minutes)
    if as_json:
        print_json(forecast.as_json())
    else:
        print_line("\n".join(lines(forecast)))


@app.command()
def status(
    study: StudyName = None, runs: Folder = Path("runs"), storage: Storage = None, as_json: AsJson = False
) -> None:
    """What is done, running, pruned; the best so far; the time left."""
    from search.console.tables import status_table
    from search.inspecting.status import read_status

    show(read_status(runs, storage=storage, study=study), status_table, as_json=as_json)


@app.command()
@request_options(claims=parse_claim, slots=parse_slot_count, compile=parse_compile_mode)
def best(
    *,
    retrain: Annotated[bool, typer.Option("--retrain", help="Confirm, retrain, test once, recommend.")] = False,
    request: Decision,
    as_json: AsJson = False,
) -> None:
    """The best candidate so far; with --retrain the decision: build or buy."""
    if retrain:
        _decide(request, as_json=as_json)
        return
    from search.console.tables import best_table
    from search.inspecting.status import best_json, read_status

    history = read_status(request.folder, storage=request.storage, study=request.study).history
    if as_json:
        print_json(best_json(history))
    else:
        console().print(best_table(history))


def _decide(request: Decision, *, as_json: bool) -> None:
    from search.console.decision import follow
    from search.reporting.report import as_json as report_json
    from search.reporting.report import report_decision

    report = follow(report_decision(request), console=console(stderr=as_json))
    if as_json:
        print_json(report_json(report))


@app.command()
def dashboard(
    runs: Folder = Path("runs"),
    storage: Storage = None,
    port: Annotated[int, typer.Option(help="On the loopback address; the dashboard knows no passwords.")] = 8080,
) -> None:
    """Watch the studies in a browser with optuna-dashboard."""
    from studies.dashboard import LOOPBACK, check_servable, serve
    from studies.storage import storage_url

    url = storage_url(runs, storage)
    check_servable(url, port=port)
    print_line(f"http://{LOOPBACK}:{port}  (Ctrl-C ends it)")
    serve(storage=url, runs=runs, port=port)
