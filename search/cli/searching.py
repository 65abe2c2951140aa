"""Searching and deciding: from a study's first trial to a recommendation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.app import (
    AsJson,
    Compile,
    Data,
    Device,
    Folder,
    Slots,
    SpaceName,
    Storage,
    StudyName,
    Trials,
    app,
    console,
    go_on,
    print_json,
)

if TYPE_CHECKING:
    from search.searching.request import Search


@app.command()
def run(
    trials: Trials = 50,
    space: SpaceName = None,
    study: StudyName = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    data: Data = None,
    sampler: Annotated[str, typer.Option(help="tpe, random or qmc.")] = "tpe",
    pruner: Annotated[str | None, typer.Option(help="median, halving, hyperband, none.  [default: median]")] = None,
    cost: Annotated[str | None, typer.Option(help="Minimise too: parameters, flops, memory_mb, latency_ms.")] = None,
    enqueue: Annotated[list[str] | None, typer.Option(help="A published recipe to try first (repeatable).")] = None,
    carry_over: Annotated[str | None, typer.Option(help="Start with what fits of that study's trials.")] = None,
    slots: Slots = None,
    epochs: Annotated[int | None, typer.Option(help="Length of a trial.  [default: the space's, cut to fit]")] = None,
    images: Annotated[int | None, typer.Option(help="Train each trial on so many images.")] = None,
    minutes: Annotated[float, typer.Option(help="Time that the search should take.")] = 25.0,
    seed: Annotated[int, typer.Option(help="Seed of the study.")] = 0,
    device: Device = None,
    ray: Annotated[str | None, typer.Option(help="Run on a Ray cluster: HOST:PORT, or this machine's.")] = None,
    cpus_per_slot: Annotated[int, typer.Option(min=1, help="With --ray: CPUs, and threads, of a slot.")] = 1,
    gpus_per_slot: Annotated[float | None, typer.Option(help="With --ray: share of a GPU, such as 0.5.")] = None,
    timeout: Annotated[str | None, typer.Option(help="Stop after so long: 90s, 30m, 2h.")] = None,
    trial_timeout: Annotated[str | None, typer.Option(help="Give a trial up after so long.")] = None,
    compile: Compile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and forecast, and train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")] = False,
) -> None:
    """Search: start a study, or go on with it until it has its trials."""
    from search.console.watch import watch
    from search.searching import supervisor
    from search.searching.request import Search
    from search.slots.machine import compile_mode, slots_of

    search = Search(
        trials=trials, space=space, study=study, folder=runs, storage=storage, data=data, sampler=sampler,
        pruner=pruner, slots=slots_of(slots), epochs=epochs, images=images, minutes=minutes, seed=seed, device=device,
        compile=compile_mode(compile),
        cost=cost, enqueue=tuple(enqueue or ()), carry_over=carry_over, ray=ray, cpus_per_slot=cpus_per_slot,
        gpus_per_slot=gpus_per_slot,
        timeout=seconds(timeout, "--timeout"), trial_timeout=seconds(trial_timeout, "--trial-timeout"),
    )  # fmt: skip
    if dry_run or as_json:
        _rehearse(search, dry_run=dry_run, as_json=as_json)
        return
    closed = watch(supervisor.run(search), console=console())
    if closed.signal is not None or closed.out_of_time:
        go_on()
    if closed.signal is not None:
        raise typer.Exit(128 + closed.signal)


def seconds(text: str | None, option: str) -> float | None:
    import re

    from search.errors import UsageError

    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise UsageError(f"{option} is a time such as 90s, 30m or 2h, not {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def _rehearse(search: Search, *, dry_run: bool, as_json: bool) -> None:
    from search.console.dry_run import lines
    from search.deciding.decide import Question
    from search.searching.dry_run import dry_run as rehearse

    if not dry_run:
        raise typer.BadParameter("--json is for --dry-run; `cifar-search status --json` shows a search")
    found = rehearse(search, retraining=60 * Question.minutes)
    if as_json:
        print_json(found.as_json())
        return
    for line in lines(found):
        console().print(line, soft_wrap=True, highlight=False, markup=False)


@app.command()
def status(
    study: StudyName = None, runs: Folder = Path("runs"), storage: Storage = None, as_json: AsJson = False
) -> None:
    """What is done, running, pruned; the best so far; the time left."""
    from search.inspecting.status import read_status

    found = read_status(runs, storage=storage, study=study)
    if as_json:
        print_json(found.as_json())
    else:
        from search.console.tables import status_table

        console().print(status_table(found))


@app.command()
def best(
    retrain: Annotated[bool, typer.Option("--retrain", help="Confirm, retrain, test once, recommend.")] = False,
    study: StudyName = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    data: Data = None,
    claim: Annotated[list[str] | None, typer.Option(help="NAME=PERCENT.  [default: Detectocorp=70]")] = None,
    minutes: Annotated[float, typer.Option(help="Time that the trainings should take.")] = 30.0,
    candidates: Annotated[int | None, typer.Option(min=1, help="Trials to confirm.")] = None,
    confirm_seeds: Annotated[int | None, typer.Option(min=1, help="Fresh seeds of each of them.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Final trainings, each tested once.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of these trainings.")] = None,
    slots: Slots = None,
    device: Device = None,
    compile: Compile = None,
    as_json: AsJson = False,
) -> None:
    """The best candidate so far; with --retrain the decision: build or buy."""
    from search.inspecting.status import best_json, read_status

    history = read_status(runs, storage=storage, study=study).history
    if not retrain:
        if as_json:
            print_json(best_json(history))
        else:
            from search.console.tables import best_table

            console().print(best_table(history))
        return
    from search.console.decision import follow
    from search.deciding.decide import Question, decide
    from search.deciding.recommendation import parse_claims
    from search.reporting.report import as_json as report_json
    from search.slots.machine import compile_mode, slots_of

    question = Question(
        study=history.study, claims=parse_claims(claim or ["Detectocorp=70"]), folder=runs, storage=storage, data=data,
        minutes=minutes, candidates=candidates, confirm_seeds=confirm_seeds, seeds=seeds, epochs=epochs,
        slots=slots_of(slots, auto=False), device=device, compile=compile_mode(compile),
    )  # fmt: skip
    report = follow(decide(question), console=console(stderr=as_json))
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
    console().print(f"http://{LOOPBACK}:{port}  (Ctrl-C ends it)", highlight=False)
    serve(storage=url, runs=runs, port=port)
