"""Spaces, candidates and published recipes, before a search and after it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from search.cli.app import (
    SPACE_EXIT,
    AsJson,
    Data,
    Device,
    Folder,
    Storage,
    StudyName,
    app,
    console,
    print_json,
)

spaces_app = typer.Typer(help="The search spaces: list them, show one, check one.", rich_markup_mode=None)
app.add_typer(spaces_app, name="spaces")
SpaceArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A shipped space or a file.")]


@spaces_app.callback(invoke_without_command=True)
def spaces(context: typer.Context) -> None:
    """The search spaces that come with the program; `show` and `check` take a file too."""
    if context.invoked_subcommand is None:
        from search.console.spaces import spaces_table
        from search.planning.catalogue import load
        from spaces import shipped_spaces

        console().print(spaces_table([load(name) for name in shipped_spaces()]))


@spaces_app.command("show")
def spaces_show(space: SpaceArgument) -> None:
    """Every parameter of a space with its range and its condition; limits and baselines."""
    from search.console.spaces import space_text
    from search.planning.catalogue import load

    console().print(space_text(load(space)))


@spaces_app.command("check")
def spaces_check(
    space: SpaceArgument,
    draws: Annotated[int, typer.Option(min=1, help="Candidates to draw and count.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Draw from a space, build every network without training, and say what a search would suffer from."""
    from search.inspecting.check import check
    from search.planning.catalogue import load

    checked = check(load(space), draws=draws)
    if as_json:
        print_json(checked.as_json())
    else:
        from search.console.spaces import checked_text

        console().print(checked_text(checked), soft_wrap=True)
    if checked.errors:
        raise typer.Exit(SPACE_EXIT)


@spaces_app.command("advise")
def spaces_advise(
    study: StudyName = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    output: Annotated[Path | None, typer.Option(help="File to write.  [default: the study's next.yaml]")] = None,
    as_json: AsJson = False,
) -> None:
    """After a search: what its trials say of the space, and the next space, written to a file."""
    from search.inspecting.advise import advise

    advice = advise(runs, storage=storage, study=study, output=output)
    if as_json:
        print_json(asdict(advice))
    else:
        from search.console.advice import advice_text

        console().print(advice_text(advice))


@app.command()
def explain(
    source: Annotated[str | None, typer.Argument(help="A space or a published recipe.  [default: a trial]")] = None,
    baseline: Annotated[str | None, typer.Option(help="Of the space.  [default: its first]")] = None,
    study: StudyName = None,
    trial: Annotated[int | None, typer.Option(help="Number of the trial.  [default: the best]")] = None,
    runs: Folder = Path("runs"),
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Every layer of a candidate: shapes, what it sees of the image, parameters, FLOPs, memory."""
    from search.console.layers import layers_text
    from search.inspecting.explain import ExplainRequest
    from search.inspecting.explain import explain as explain_layers

    explanation = explain_layers(
        ExplainRequest(source=source, baseline=baseline, study=study, trial=trial, folder=runs, storage=storage)
    )
    if as_json:
        print_json(explanation.as_json())
    else:
        terminal = console()
        terminal.print(layers_text(explanation, width=terminal.width))


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
    if name is None:
        from search.console.spaces import baselines_table
        from search.planning.catalogue import baselines

        console().print(baselines_table(baselines()))
        return
    from search.console.baseline import follow
    from search.deciding.baseline import Rerun, rerun

    question = Rerun(
        name=name, as_published=as_published, minutes=minutes, epochs=epochs, seed=seed, folder=runs, data=data,
        device=device,
    )  # fmt: skip
    found = follow(rerun(question), console=console(stderr=as_json))
    if as_json:
        print_json(found.as_json())
