"""A request makes the options of its command: their names, types, defaults and texts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import typer
from tiny import Start
from typer.testing import CliRunner

from search.cli.options import request_options
from search.cli.parsing import parse_seconds
from search.deciding.request import Claim, Decision
from search.errors import UsageError
from search.options import MOST, argument, check_fields, option
from search.searching.request import Search


@dataclass(frozen=True, kw_only=True)
class Meal:
    name: str = argument("", "Its name.")
    guests: int = option(2, "Who eats.", least=1, most=12)
    price: float = option(9.5, "Of each.", least=0.5)
    folder: Path = option(Path("kitchen"), "Where it is cooked.")
    spices: tuple[str, ...] = option((), "What is in it.")
    fast: bool = option(False, "In a hurry.")
    cook_time: float | None = option(None, "For so long.")

    def __post_init__(self) -> None:
        check_fields(self)


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
    with pytest.raises(UsageError, match="--guests must be from 1 to 12, not 0"):
        run("--guests", "0")


def test_a_number_has_a_range() -> None:
    refused = {"price": "must be from 0.5 to 10,000,000, not {}", "guests": "must be from 1 to 12, not {}"}
    for name, value, shown in (
        ("price", math.nan, "nan"),
        ("price", math.inf, "inf"),
        ("price", -5.0, "-5"),
        ("price", 0, "0"),
        ("guests", -(10**30), f"{-(10**30):,}"),
        ("guests", 13, "13"),
    ):
        with pytest.raises(UsageError) as error:
            Meal(**{name: value})
        assert str(error.value) == f"--{name} " + refused[name].format(shown)
    assert (Meal(price=0.5).price, Meal(price=MOST).price, Meal(guests=12).guests) == (0.5, MOST, 12)


def test_a_path_may_be_text_and_numbers_may_be_those_of_numpy(tmp_path: Path) -> None:
    search = Search(folder=str(tmp_path), trials=np.int64(3), minutes=np.float32(0.5))  # type: ignore[arg-type]
    assert (search.folder, search.trials, search.minutes) == (tmp_path, 3, 0.5)
    assert Meal(price=3, spices=["salt"]).price == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_of", "name", "value", "wanted"),
    [
        (Search, "slots", "1", "int | Literal['auto'] | None, not '1'"),
        (Search, "slots", "many", "int | Literal['auto'] | None, not 'many'"),
        (Search, "trials", "3", "int, such as 50, not '3'"),
        (Search, "trials", True, "int, such as 50, not True"),
        (Search, "sampler", None, "str, such as prior, not None"),
        (Search, "enqueue", "vgg", "tuple[str, ...], not 'vgg'"),
        (Search, "data", "", "str | None, not ''"),
        (Search, "data", Path("data"), "str | None, not PosixPath('data')"),
        (Search, "folder", "", "Path, such as runs, not ''"),
        (Search, "folder", 7, "Path, such as runs, not 7"),
        (Decision, "claims", "x", "tuple[Claim, ...], such as (Claim(name='Detectocorp', accuracy=0.7),), not 'x'"),
        (
            Decision,
            "claims",
            ("Detectocorp=70",),
            "tuple[Claim, ...], such as (Claim(name='Detectocorp', accuracy=0.7)",
        ),
        (Decision, "claims", (("D", 0.7),), "tuple[Claim, ...], such as (Claim(name='Detectocorp', accuracy=0.7)"),
        (partial(Claim, "D"), "accuracy", "0.7", "float, not '0.7'"),
        (partial(Claim, accuracy=0.7), "name", 7, "str, not 7"),
    ],
)
def test_another_type_is_refused_by_the_name_of_its_field(
    request_of: Callable[..., object], name: str, value: object, wanted: str
) -> None:
    with pytest.raises(UsageError, match=f"^{name} of (Search|Decision|Claim) must be {re.escape(wanted)}"):
        request_of(**{name: value})


COMMANDS = ("run", "best --retrain", "dashboard", "bench", "baseline", "explain", "spaces check smoke")


@pytest.mark.parametrize("words", [words.split() for words in COMMANDS])
def test_no_command_takes_a_number_that_cannot_be(
    call: Callable[..., tuple[int, str, str]], start: Start, tmp_path: Path, words: list[str]
) -> None:
    if words[0] in ("run", "bench"):
        words = [*words, "--data", "synthetic", "--device", "cpu"]
    with start():
        pass
    help = call(*words, "--help")[1]
    options = re.findall(r"(--[\w-]+) +<(?:int|float|list.int)", help)
    place = ["--runs", tmp_path] if "--runs" in help else []
    assert options
    for name in options:
        for value in ("nan", "inf", "-inf", "-5", "1e400", "9" * 30):
            code, output, errors = call(*words, *place, f"{name}={value}")
            assert (code in (2, 4), output) == (True, ""), (name, value, errors)
