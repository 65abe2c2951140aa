"""The command line: a table of contents, one thin command for each thing a person can do."""

from __future__ import annotations

import errno
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
SpaceName = Annotated[str, typer.Option("--space", help="A shipped space (fast, cnn, smoke) or a file.")]
StudyName = Annotated[str | None, typer.Option("--study", help="Name of the study.")]
Folder = Annotated[Path, typer.Option("--runs", help="Folder for all that is left behind.")]
Storage = Annotated[str | None, typer.Option(help="Optuna storage URL.  [default: sqlite in the folder of runs]")]
Data = Annotated[str | None, typer.Option(help="Folder of CIFAR-10, or `synthetic`.  [default: CIFAR_SEARCH_DATA]")]
Slots = Annotated[int | None, typer.Option(help="Trials at a time.  [default: one per GPU, or per CPU core up to 4]")]
Device = Annotated[str | None, typer.Option(help="cuda or cpu.  [default: cuda if there is one]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    trials: Trials = 50,
    space: SpaceName = "fast",
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
    minutes: Annotated[float, typer.Option(help="Time that the search should take.")] = 50.0,
    seed: Annotated[int, typer.Option(help="Seed of the study.")] = 0,
    device: Device = None,
    ray: Annotated[str | None, typer.Option(help="Run on a Ray cluster: HOST:PORT, or this machine's.")] = None,
    cpus_per_slot: Annotated[int, typer.Option(min=1, help="With --ray: CPUs, and threads, of a slot.")] = 1,
    gpus_per_slot: Annotated[float | None, typer.Option(help="With --ray: share of a GPU, such as 0.5.")] = None,
    timeout: Annotated[str | None, typer.Option(help="Stop after so long: 90s, 30m, 2h.")] = None,
    trial_timeout: Annotated[str | None, typer.Option(help="Give a trial up after so long.")] = None,
) -> None:
    """Search: start a study, or go on with it until it has its trials."""
    from search.console.watch import watch
    from search.running import supervisor
    from search.running.opening import Search, seconds

    search = Search(
        trials=trials, space=space, study=study, folder=runs, storage=storage, data=data, sampler=sampler,
        pruner=pruner, slots=slots, epochs=epochs, minutes=minutes, seed=seed, device=device,
        cost=cost, enqueue=tuple(enqueue or ()), carry_over=carry_over, ray=ray, cpus_per_slot=cpus_per_slot,
        gpus_per_slot=gpus_per_slot,
        timeout=seconds(timeout, "--timeout"), trial_timeout=seconds(trial_timeout, "--trial-timeout"),
    )  # fmt: skip
    closed = watch(supervisor.run(search), console=_console())
    if closed.signal is not None or closed.out_of_time:
        _go_on()
    if closed.signal is not None:
        raise typer.Exit(128 + closed.signal)


@app.command()
def status(
    study: StudyName = None, runs: Folder = Path("runs"), storage: Storage = None, as_json: AsJson = False
) -> None:
    """What is done, running, pruned; the best so far; the time left."""
    from search.running.status import read_status

    found = read_status(runs, storage=storage, study=study)
    if as_json:
        _print_json(found.as_json())
    else:
        from search.console.tables import status_table

        _console().print(status_table(found))


@app.command()
def best(
    retrain: Annotated[bool, typer.Option("--retrain", help="Confirm, retrain, test once, recommend.")] = False,
    study: StudyName = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    data: Data = None,
    claim: Annotated[list[str] | None, typer.Option(help="NAME=PERCENT.  [default: Detectocorp=70]")] = None,
    minutes: Annotated[float, typer.Option(help="Time that the trainings should take.")] = 15.0,
    candidates: Annotated[int | None, typer.Option(min=1, help="Trials to confirm.")] = None,
    confirm_seeds: Annotated[int | None, typer.Option(min=1, help="Fresh seeds of each of them.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Final trainings, each tested once.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of these trainings.")] = None,
    slots: Slots = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """The best candidate so far; with --retrain the decision: build or buy."""
    from search.running.status import best_json, read_status

    history = read_status(runs, storage=storage, study=study).history
    if not retrain:
        if as_json:
            _print_json(best_json(history))
        else:
            from search.console.tables import best_table

            _console().print(best_table(history))
        return
    from search.console.decision import follow
    from search.deciding.decide import Question, decide
    from search.deciding.recommendation import parse_claims
    from search.deciding.report import as_json as report_json

    question = Question(
        study=history.study, claims=parse_claims(claim or ["Detectocorp=70"]), folder=runs, storage=storage, data=data,
        minutes=minutes, candidates=candidates, confirm_seeds=confirm_seeds, seeds=seeds, epochs=epochs, slots=slots,
        device=device,
    )  # fmt: skip
    report = follow(decide(question), console=_console(stderr=as_json))
    if as_json:
        _print_json(report_json(report))


@app.command()
def baseline(
    name: Annotated[str | None, typer.Argument(help="A published recipe; without one they are listed.")] = None,
    as_published: Annotated[bool, typer.Option("--as-published", help="Train every published epoch.")] = False,
    minutes: Annotated[float, typer.Option(help="Time that the training may take.")] = 10.0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Train so many epochs, however long it takes.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split and of the training.")] = 0,
    runs: Folder = Path("runs"),
    data: Data = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Train a published recipe under our protocol, test it once: reported against reproduced."""
    from search.console.baseline import baselines_table, follow
    from search.deciding.baseline import Rerun, known_baselines, rerun

    if name is None:
        _console().print(baselines_table(known_baselines()))
        return
    question = Rerun(
        name=name, as_published=as_published, minutes=minutes, epochs=epochs, seed=seed, folder=runs, data=data,
        device=device,
    )  # fmt: skip
    found = follow(rerun(question), console=_console(stderr=as_json))
    if as_json:
        _print_json(found.as_json())


spaces_app = typer.Typer(help="The search spaces: list them, show one, check one.", rich_markup_mode=None)
app.add_typer(spaces_app, name="spaces")
SpaceArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A shipped space or a file.")]


@spaces_app.callback(invoke_without_command=True)
def spaces(context: typer.Context) -> None:
    """The search spaces that come with the program; `show` and `check` take a file too."""
    if context.invoked_subcommand is None:
        from search.console.spaces import spaces_table
        from search.running.examine import load
        from spaces import shipped_spaces

        _console().print(spaces_table([load(name) for name in shipped_spaces()]))


@spaces_app.command("show")
def spaces_show(space: SpaceArgument) -> None:
    """Every parameter of a space with its range and its condition; limits and baselines."""
    from search.console.spaces import space_text
    from search.running.examine import load

    _console().print(space_text(load(space)))


@spaces_app.command("check")
def spaces_check(
    space: SpaceArgument,
    draws: Annotated[int, typer.Option(min=1, help="Candidates to draw and count.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Draw from a space, build every network without training, and say what a search would suffer from."""
    from search.running.check import check
    from search.running.examine import load

    checked = check(load(space), draws=draws)
    if as_json:
        _print_json(checked.as_json())
    else:
        from search.console.spaces import checked_text

        _console().print(checked_text(checked), soft_wrap=True)
    if checked.errors:
        raise typer.Exit(EXIT_CODES["SpaceError"])


@spaces_app.command("advise")
def spaces_advise(
    study: StudyName = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    output: Annotated[Path | None, typer.Option(help="File to write.  [default: the study's next.yaml]")] = None,
    as_json: AsJson = False,
) -> None:
    """After a search: what its trials say of the space, and the next space, written to a file."""
    from search.running.advise import advise

    advice = advise(runs, storage=storage, study=study, output=output)
    if as_json:
        _print_json(advice.as_json())
    else:
        from search.console.advice import advice_text

        _console().print(advice_text(advice))


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
    _console().print(f"http://{LOOPBACK}:{port}  (Ctrl-C ends it)", highlight=False)
    serve(storage=url, runs=runs, port=port)


@app.command()
def bench(data: Data = None, device: Device = None, as_json: AsJson = False) -> None:
    """Training images per second on this machine, beside a bare loop over ready tensors."""
    from search.running.bench import bench as measure

    rows = list(measure(data=data, device=device))
    if as_json:
        _print_json({row.space: row.as_json() for row in rows})
    else:
        from search.console.speed import bench_table

        _console().print(bench_table(rows))


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
    study: StudyName = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Hold the ledger of a study against what is stored and what lies in its folder."""
    from search.running import doctor as doctors

    done = doctors.fix(runs, storage=storage, study=study) if fix else ()
    ledger = doctors.examine_study(runs, storage=storage, study=study)
    if as_json:
        _print_json({**ledger.as_json(), "done": done})
    else:
        from search.console.ledger import ledger_text

        _console().print(ledger_text(ledger, done=done), soft_wrap=True)
    if ledger.findings:
        raise typer.Exit(EXIT_CODES["StudyError"])


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
    from search.running.reproduce import Request
    from search.running.reproduce import reproduce as again

    request = Request(trial=trial, study=study, folder=runs, storage=storage, data=data, device=device, keep=keep)
    found = follow(again(request), console=_console(stderr=as_json))
    if as_json:
        _print_json(found.as_json())
    if not found.confirmed:
        raise typer.Exit(EXIT_CODES["StudyError"])


@app.command()
def explain(
    source: Annotated[str | None, typer.Argument(help="A space or a published recipe.  [default: a trial]")] = None,
    baseline: Annotated[str | None, typer.Option(help="Of the space.  [default: its first]")] = None,
    study: StudyName = None,
    trial: Annotated[int | None, typer.Option(help="Number of the trial.  [default: the best]")] = None,
    pictures: Annotated[str | None, typer.Option(help="Draw filters and feature maps: FOLDER, or the study's.")] = None,
    image: Annotated[int, typer.Option(min=0, help="With --pictures: which validation image.")] = 0,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Every layer of a candidate: shapes, what it sees, parameters, FLOPs, memory; pictures of what it learned."""
    from search.console.layers import layers_text
    from search.running import explain as explaining

    question = explaining.Question(
        source=source, baseline=baseline, study=study, trial=trial, folder=runs, storage=storage, data=data,
        pictures=pictures, image=image,
    )  # fmt: skip
    found = explaining.explain(question)
    if as_json:
        _print_json(found.as_json())
    else:
        console = _console()
        console.print(layers_text(found, width=console.width))


EXIT_CODES = {  # by name, since importing the classes takes seconds; 1 is an unknown error, 128 + n a signal
    "SpaceError": 2,
    "CandidateError": 2,
    "NetworkError": 2,
    "ClaimError": 2,
    "DeviceError": 2,
    "DataError": 3,
    "StudyError": 4,
    "StorageError": 5,
    "SlotError": 6,
    "ClusterError": 6,
}


UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # wherever it was met, the disk is what a person must mend


def main() -> None:
    """Run a command; an error that a person can mend is a sentence and an exit code, any other keeps its traceback."""
    try:
        app(_words(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if type(error).__name__ == "InterruptedSearch":
            _go_on()
            sys.exit(128 + error.signal)  # type: ignore[attr-defined]
        known = (EXIT_CODES.get(kind.__name__) for kind in type(error).__mro__)
        code = next((code for code in known if code is not None), None)
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            code = EXIT_CODES["StorageError"]
        if code is None:
            raise
        _console(stderr=True).print(f"cifar-search: {error}", highlight=False, soft_wrap=True, markup=False)
        sys.exit(code)


def _words(arguments: list[str]) -> list[str]:
    """`--ray` alone means `--ray auto`, and so for `--pictures`: Typer knows no option whose value may be left out."""
    words: list[str] = []
    for word, then in zip(arguments, [*arguments[1:], "-"], strict=True):
        words += [word, "auto"] if word in ("--ray", "--pictures") and then.startswith("-") else [word]
    return words


def _console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr)


def _print_json(data: dict[str, Any]) -> None:
    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def _go_on() -> None:
    import shlex

    from studies.storage import masked

    command = shlex.join(["cifar-search", *(masked(word) for word in sys.argv[1:])])
    _console().print(f"go on with: {command}", soft_wrap=True, highlight=False, markup=False)
