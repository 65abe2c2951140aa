"""Spaces, candidates and published recipes, before a search and after it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.app import SPACE_EXIT, AsJson, Folder, Storage, StudyName, app, console, print_json, show
from search.cli.options import request_options
from search.deciding.request import BaselineRequest
from search.inspecting.request import ExplainRequest

spaces_app = typer.Typer(help="The search spaces: list them, show one, check one.", rich_markup_mode=None)
app.add_typer(spaces_app, name="spaces")
SpaceArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A shipped space or a file.")]


@spaces_app.callback(invoke_without_command=True)
def spaces(context: typer.Context) -> None:
    """The search spaces that come with the program; `show` and `check` take a file too."""
    if context.invoked_subcommand is None:
        from search.console.spaces import spaces_table
        from search.planning.catalogue import load
        from spaces.loader import shipped_spaces

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
    from search.console.spaces import checked_text
    from search.inspecting.check import check
    from search.planning.catalogue import load

    checked = check(load(space), draws=draws)
    show(checked, checked_text, as_json=as_json, soft_wrap=True)
    if any(finding.level == "error" for finding in checked.findings):
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
    from search.console.advice import advice_text
    from search.inspecting.advise import advise

    show(advise(runs, storage=storage, study=study, output=output), advice_text, as_json=as_json)


@app.command()
@request_options()
def explain(request: ExplainRequest, *, as_json: AsJson = False) -> None:
    """Every layer of a candidate: shapes, what it sees of the image, parameters, FLOPs, memory."""
    from search.console.layers import layers_text
    from search.inspecting.explain import explain as explain_candidate

    width = console().width
    show(explain_candidate(request), lambda found: layers_text(found, width=width), as_json=as_json)


@app.command()
@request_options()
def baseline(request: BaselineRequest, *, as_json: AsJson = False) -> None:
    """Train a published recipe under our protocol, test it once: reported against reproduced."""
    if not request.name:
        from search.console.spaces import baselines_table
        from spaces.baselines import load_baselines

        console().print(baselines_table(load_baselines().values()))
        return
    from search.console.baseline import follow
    from search.deciding.baseline import reproduce_baseline

    reproduction = follow(reproduce_baseline(request), console=console(stderr=as_json))
    if as_json:
        print_json(reproduction.as_json())
