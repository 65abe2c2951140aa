"""Makes the options of a command from the request that it is called with, so that each is written down once."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from search.errors import UsageError
from search.options import same_option, types_of
from search.searching.request import Search

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NAMES = {"folder": "runs", "claims": "claim", "start": "from"}  # options that are not called as their fields
SHOWN = (bool, int, float, str, Path)  # defaults that the help shows; the help of the others says it in words

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Command = Callable[..., None]
Parser = Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class StudyChoice:
    """Which study a command looks at."""

    study: str | None = same_option(Search, "study")
    folder: Path = same_option(Search, "folder")
    storage: str | None = same_option(Search, "storage")


def request_options(**parsers: Parser) -> Callable[[Command], Command]:
    """Offer the fields of the command's request as options, and call the command with the request made of them.

    The request is the command's parameter that is a dataclass; its other parameters are options of their own. A field
    whose text is no plain number, name or path needs a parser.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        (own,) = (name for name, parameter in signature.parameters.items() if is_dataclass(parameter.annotation))
        request: type[DataclassInstance] = signature.parameters[own].annotation
        hints = types_of(request)
        offered = [_parameter(field, hints[field.name], parsers.get(field.name)) for field in fields(request)]

        def parsed(**given: Any) -> None:
            values = {parameter.name: given.pop(parameter.name) for parameter in offered}
            stated = {name: value for name, value in values.items() if value not in (None, [])}
            made = {name: tuple(value) if isinstance(value, list) else value for name, value in stated.items()}
            command(**{own: request(**made)}, **given)

        every: list[inspect.Parameter] = []
        for name, parameter in signature.parameters.items():
            every += offered if name == own else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parsed.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]
        parsed.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
        parsed.__name__, parsed.__doc__ = command.__name__, command.__doc__
        return parsed

    return decorate


def option_of(request: "type[DataclassInstance]", name: str, parser: Parser | None = None) -> Any:
    """The option of one field of a request, for a command that takes no whole request."""
    return _option(request.__dataclass_fields__[name], parser)


def _parameter(field: Field[Any], hint: Any, parser: Parser | None) -> inspect.Parameter:
    if get_origin(hint) is tuple:
        hint = list[str if parser else get_args(hint)[0]]  # type: ignore[misc]
    elif parser:
        hint = str
    default: Any = field.default if isinstance(field.default, SHOWN) and field.default != "" else None
    if field.default is MISSING:
        default = inspect.Parameter.empty
    elif default is None:
        hint = hint | None
    annotation = Annotated[hint, _option(field, parser)]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(field: Field[Any], parser: Parser | None) -> Any:
    text = field.metadata["help"]
    if field.metadata.get("positional"):
        return typer.Argument(help=text)
    option = f"--{NAMES.get(field.name, field.name).replace('_', '-')}"
    if parser is None:
        return typer.Option(option, help=text)

    def parse(text: str) -> Any:
        try:
            return parser(text)
        except UsageError as error:
            raise UsageError(f"{option}: {error}") from None

    return typer.Option(option, help=text, parser=parse, metavar="<str>")
