"""The table of contents: one thin command for each thing a person can do."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli.options import AsJson, StudyChoice, option_of, request_options
from search.cli.output import console, print_json, print_line, print_next_command, progress_line, show
from search.cli.parsing import parse_claim, parse_compile_mode, parse_seconds, parse_slots
from search.cli.spaces import spaces_app
from search.deciding.request import BaselineRequest, Decision, TransferRequest
from search.errors import UsageError
from search.inspecting.request import ExplainRequest, ExploreRequest, ReproduceRequest
from search.searching.request import Search
from search.shipping.request import LocateRequest
from search.slots.signals import InterruptedSearch

STUDY_EXIT = 4  # of a command that finds something wrong with a study

app = typer.Typer(
    help="Search a CIFAR-10 classifier, confirm it, test it once, and recommend: build in-house, or buy.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def program(*, version: Annotated[bool, typer.Option("--version", help="Print it.")] = False) -> None:
    """What stands before the name of a command."""
    if version:
        from importlib import metadata

        print_line(f"cifar-search {metadata.version('cifar-search')}")
        raise typer.Exit


@app.command()
@request_options(slots=parse_slots, compile=parse_compile_mode, timeout=parse_seconds, trial_timeout=parse_seconds)
def run(
    search: Search,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and forecast, and train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")] = False,
) -> None:
    """Search: start a study, or go on with it until it has its trials."""
    from search.console.watch import forecast_text, watch
    from search.searching import supervisor
    from search.searching.dry_run import dry_run as forecast

    if dry_run:
        found = forecast(search, progress=progress_line())
        show(found, forecast_text, as_json=as_json, soft_wrap=True)
        return
    if as_json:
        raise UsageError("--json is for --dry-run; `cifar-search status --json` shows a search")
    closed = watch(supervisor.run(search, progress=progress_line()), console=console())
    if closed.signal is not None or closed.out_of_time:
        print_next_command()
    if closed.signal is not None:
        raise typer.Exit(128 + closed.signal)


@app.command()
@request_options()
def status(choice: StudyChoice, *, as_json: AsJson = False) -> None:
    """What is done, running, pruned; the best so far; the time left."""
    from search.console.tables import status_table
    from search.inspecting.status import read_status

    show(read_status(**vars(choice)), status_table, as_json=as_json)


@app.command()
@request_options(claims=parse_claim, compile=parse_compile_mode)
def best(
    *,
    retrain: Annotated[bool, typer.Option("--retrain", help="Confirm, retrain, test once, recommend.")] = False,
    request: Decision,
    as_json: AsJson = False,
) -> None:
    """The best candidate so far; with --retrain the decision: build or buy."""
    if retrain:
        from search.console.follow import follow_decision
        from search.reporting import report

        steps = report.report_decision(request, progress=progress_line())
        decided = follow_decision(steps, console=console(stderr=as_json))
        if as_json:
            print_json(report.as_json(decided))
        return
    from search.console.tables import best_table
    from search.inspecting.status import best_json, read_status

    history = read_status(request.folder, storage=request.storage, study=request.study).history
    if as_json:
        print_json(best_json(history))
    else:
        console().print(best_table(history))


@app.command()
def dashboard(
    runs: Annotated[Path, option_of(Search, "folder")] = Path("runs"),
    storage: Annotated[str | None, option_of(Search, "storage")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On the loopback address, without passwords.")] = 8080,
) -> None:
    """Watch the studies in a browser with optuna-dashboard."""
    from studies.dashboard import serve
    from studies.storage import storage_url

    serve(storage=storage_url(runs, storage), runs=runs, port=port, announce=print_line)


@app.command()
def studies(
    runs: Annotated[Path, option_of(Search, "folder")] = Path("runs"),
    storage: Annotated[str | None, option_of(Search, "storage")] = None,
    delete: Annotated[str | None, typer.Option(help="Delete this study; what would go is shown first.")] = None,
    confirm: Annotated[str | None, typer.Option(help="With --delete: the same name again, to mean it.")] = None,
    as_json: AsJson = False,
) -> None:
    """The studies of a folder or a database: trials, best, disk used. Delete one."""
    from search.console.tables import studies_table
    from search.inspecting.studies import delete_study, list_studies

    if delete is not None:
        print_line(delete_study(runs, study=delete, confirm=confirm, storage=storage))
        return
    show(list_studies(runs, storage=storage), studies_table, as_json=as_json)


app.add_typer(spaces_app, name="spaces")


@app.command("explore")
@request_options()
def explore_images(request: ExploreRequest, *, as_json: AsJson = False) -> None:
    """Look at images before a search: classes, files, channels, duplicates, wrong labels; writes a page."""
    from search.console.explored import explored_text
    from search.inspecting.explore import explore
    from search.reporting.explored import write_page

    page = request.output or request.folder / "explore.html"
    if page.is_dir():
        raise UsageError(f"--output {page} is a folder; name a file in it")
    page.parent.mkdir(parents=True, exist_ok=True)  # before a minute of work
    write_page(found := explore(request, progress=progress_line()), page)
    show(found, lambda found: explored_text(found, page=page), as_json=as_json, soft_wrap=True)


@app.command()
@request_options()
def explain(request: ExplainRequest, *, as_json: AsJson = False) -> None:
    """Every layer of a candidate: shapes, what it sees of the image, parameters, FLOPs, memory."""
    from search.console.spaces import layers_text
    from search.inspecting.explain import explain as explain_candidate

    show(explain_candidate(request), lambda found: layers_text(found, width=console().width), as_json=as_json)


@app.command()
@request_options()
def baseline(request: BaselineRequest, *, as_json: AsJson = False) -> None:
    """Train a published recipe under our protocol, test it once: reported against reproduced."""
    if not request.name:
        from search.console.spaces import baselines_table
        from spaces.baselines import load_baselines

        console().print(baselines_table(load_baselines().values()))
        return
    from search.console.follow import follow_baseline
    from search.deciding.baseline import reproduce_baseline

    steps = reproduce_baseline(request, progress=progress_line())
    found = follow_baseline(steps, console=console(stderr=as_json))
    if as_json:
        print_json(found.as_json())


@app.command()
@request_options()
def transfer(request: TransferRequest, *, as_json: AsJson = False) -> None:
    """Carry trained weights to other images: search how, then compare with training from scratch."""
    from search.console.follow import follow_comparison
    from search.console.watch import watch
    from search.deciding.transfer import compare, prepare
    from search.searching import supervisor

    start, search = prepare(request)
    updates = supervisor.run(search, progress=progress_line())
    closed = watch(updates, console=console(stderr=as_json))
    if closed.signal is not None:
        raise InterruptedSearch(closed.signal)
    comparison = follow_comparison(compare(request, start, study=str(search.study)), console=console(stderr=as_json))
    if as_json:
        print_json(asdict(comparison))


@app.command()
@request_options()
def locate(request: LocateRequest, *, as_json: AsJson = False) -> None:
    """Where in larger photos a finished classifier is sure: boxes and a heat map. It is no trained detector."""
    from search.console.tables import located_text
    from search.shipping.locate import locate as find

    show(find(request), located_text, as_json=as_json, soft_wrap=True)


@app.command()
def bench(
    space: Annotated[list[str] | None, typer.Option(help="Space (repeatable).  [default: one of each family]")] = None,
    reach: Annotated[list[int] | None, typer.Option(help="Train to PERCENT, and take the time (repeatable).")] = None,
    usual: Annotated[bool, typer.Option("--usual", help="Beside a DataLoader with PIL transforms.")] = False,
    compile: Annotated[Any, option_of(Search, "compile", parse_compile_mode)] = None,
    data: Annotated[str | None, option_of(Search, "data")] = None,
    device: Annotated[str | None, option_of(Search, "device")] = None,
    as_json: AsJson = False,
) -> None:
    """Images per second on this machine, beside a bare loop over ready tensors; --reach and --usual stand alone."""
    from search.benchmarking.bench import bench as measure
    from search.console.speed import bench_tables

    options = {"compile": compile, "data": data, "device": device, "progress": progress_line()}
    result = measure(space or (), targets=reach or (), usual=usual, **options)
    show(result, bench_tables, as_json=as_json)


@app.command()
@request_options()
def doctor(
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
    choice: StudyChoice,
    as_json: AsJson = False,
) -> None:
    """Hold the ledger of a study against what is stored and what lies in its folder."""
    from search.console.tables import diagnosis_text
    from search.inspecting import doctor as doctors

    done = doctors.fix(**vars(choice)) if fix else ()
    diagnosis = doctors.examine_study(**vars(choice))
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
    from search.console.follow import follow_reproduction
    from search.inspecting.reproduce import reproduce as train_again

    result = follow_reproduction(train_again(request), console=console(stderr=as_json))
    if as_json:
        print_json(result.as_json())
    if not result.confirmed:
        raise typer.Exit(STUDY_EXIT)
