"""The commands about search spaces."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import AsJson, StudyChoice, request_options
from search.cli.output import console, print_json, show

SPACE_EXIT = 2  # of a command that finds something wrong with a space

spaces_app = typer.Typer(help="The search spaces: list them, show one, check one.", rich_markup_mode=None)

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


@spaces_app.command("fields")
def spaces_fields(
    family: Annotated[str | None, typer.Argument(help="Of this family alone.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema that editors complete from.")] = False,
) -> None:
    """Every name of a space file with its type, range, unit and default."""
    from search.console.spaces import fields_table
    from search.planning.space_schema import space_schema

    if schema:
        print_json(space_schema(family))
    else:
        console().print(fields_table(space_schema(family)))


@spaces_app.command("check")
def spaces_check(
    space: SpaceArgument,
    draws: Annotated[int, typer.Option(min=1, max=1_000_000, help="Candidates to draw and count.")] = 1000,
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
@request_options()
def spaces_advise(
    choice: StudyChoice,
    *,
    output: Annotated[Path | None, typer.Option(help="File to write.  [default: the study's next.yaml]")] = None,
    as_json: AsJson = False,
) -> None:
    """After a search: what its trials say of the space, and the next space, written to a file."""
    from search.console.tables import advice_text
    from search.inspecting.advise import advise

    show(advise(**vars(choice), output=output), advice_text, as_json=as_json)
