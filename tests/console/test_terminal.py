"""Tables in terminals of every width: a number is whole, or its column is not there."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from search.console import terminal
from search.console.spaces import baselines_table, space_text, spaces_table
from search.console.terminal import NARROW, ProgressLine, columns
from search.planning.catalogue import load
from spaces.baselines import load_baselines
from spaces.loader import shipped_spaces

NUMBERS = st.lists(st.floats(-1e9, 1e9).map(lambda number: f"{number:,.2f} %"), min_size=1, max_size=4)


def lines(table: Any, *, width: int) -> list[str]:
    Console(file=(file := StringIO()), width=width).print(table)
    found = file.getvalue().splitlines()
    assert max(map(len, found)) <= width
    return found


@given(st.lists(NUMBERS, min_size=1, max_size=5), st.text("ab ", max_size=30), st.integers(40, 160))
def test_every_number_is_on_one_line_or_its_column_is_left_out(rows: list[list[str]], text: str, width: int) -> None:
    heads = [f"head{index}" for index in range(max(map(len, rows)))]
    table = columns("name", *(f">{head}" for head in heads))
    for row in rows:
        table.add_row(text, *row)

    shown = lines(table, width=width)

    present = [head for head in heads if head in shown[0]]
    assert present == heads[: len(present)]  # in their order the last are left out first
    for row in rows:
        assert all(any(number in line for line in shown) for number in row[: len(present)])
    if len(present) < len(heads):  # not without need
        taken = max(len("name"), min(NARROW, len(text))) + 2
        each = [
            max(map(len, [head, *(row[index] for row in rows if index < len(row))])) + 2
            for index, head in enumerate(heads)
        ]
        assert taken + sum(each[: len(present) + 1]) > width


@pytest.mark.parametrize("width", [40, 50, 60, 80])
def test_the_numbers_of_spaces_and_recipes_are_whole(width: int) -> None:
    every, fast, recipes = [*map(load, shipped_spaces())], load("fast"), load_baselines().values()
    listed, shown, published = (
        "\n".join(lines(table, width=width))
        for table in (spaces_table(every), space_text(fast), baselines_table(recipes))
    )
    assert (" trial " in listed.partition("\n")[0]) == (width >= 60)
    assert width < 60 or all(f"{space.length.trial} epochs" in listed for space in every if space.length)
    assert all(f"{recipe.reported:.2f} %" in published for recipe in recipes)
    ranges = [re.findall(r"(?<![\w.])-?\d[\d.e-]*", parameter.kind.describe()) for parameter in fast.parameters]
    assert sum(map(len, ranges)) > 20
    assert all(number in shown.split() or f"{number}," in shown.split() for numbers in ranges for number in numbers)


@pytest.mark.parametrize("in_terminal", [True, False])
def test_progress_is_quiet_at_first_then_a_terminal_sees_it_move_and_a_log_now_and_then(
    in_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    console, now = Console(file=(file := StringIO()), force_terminal=in_terminal, width=80), [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    progress = ProgressLine(console)
    for done in range(250):  # 25 seconds
        progress("decoding", done, 1000)
        now[0] += 0.1
        if done == 8:
            assert file.getvalue() == ""
    progress("", 0, 0)
    if in_terminal:
        assert re.fullmatch(r"(decoding: \d+ of 1,000\r){200,}\x1b\[2K", file.getvalue())
    else:
        assert [int(line.split()[1]) // 10 for line in file.getvalue().splitlines()] == [1, 11, 21]
