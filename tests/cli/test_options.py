"""A request makes the options of its command: their names, types, defaults and texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from search.cli.options import request_options
from search.cli.parsing import parse_seconds
from search.errors import UsageError
from search.options import argument, check_limits, option


@dataclass(frozen=True, kw_only=True)
class Meal:
    name: str = argument("", "Its name.")
    guests: int = option(2, "Who eats.", least=1)
    folder: Path = option(Path("kitchen"), "Where it is cooked.")
    spices: tuple[str, ...] = option((), "What is in it.")
    fast: bool = option(False, "In a hurry.")
    cook_time: float | None = option(None, "For so long.")

    def __post_init__(self) -> None:
        check_limits(self)


def run(*words: str) -> tuple[object, bool]:
    """The meal that the command is called with, and whether it is served."""
    app, calls = typer.Typer(), []

    @app.command()
    @request_options(cook_time=parse_seconds)
    def cook(*, meal: Meal, served: Annotated[bool, typer.Option("--served")] = False) -> None:
        """Cook a meal."""
        calls.append((meal, served))

    done = CliRunner().invoke(app, words, catch_exceptions=False)
    return calls[0] if calls else (done.output, False)


def test_every_option_reaches_its_field_and_has_its_default() -> None:
    words = ("soup", "--guests", "3", "--runs", "x", "--spices", "salt", "--spices", "mint", "--fast", "--served")
    meal = Meal(name="soup", guests=3, folder=Path("x"), spices=("salt", "mint"), fast=True, cook_time=120)

    assert run() == (Meal(), False)
    assert run(*words, "--cook-time", "2m") == (meal, True)


def test_help_tells_texts_and_defaults() -> None:
    said = " ".join(str(run("--help")[0]).split())

    assert all(text in said for text in ("Cook a meal.", "Who eats.", "Where it is cooked.", "What is in it."))
    assert "[default: 2]" in said
    assert "--no-fast" not in said


def test_a_mistake_names_its_option() -> None:
    with pytest.raises(UsageError, match="--cook-time: a time such as 90s, 30m or 2h, not 'long'"):
        run("--cook-time", "long")
    with pytest.raises(UsageError, match="--guests must be at least 1, not 0"):
        run("--guests", "0")
