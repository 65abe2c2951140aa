"""What is wrong with a value or a name, in sentences of our own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from search.candidate import FAMILIES, checks
from search.sentences import nearest, sentence


def said(hint: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(hint).validate_python(value, strict=True)
    return sentence(caught.value.errors()[0])


@pytest.mark.parametrize(
    ("hint", "value", "words"),
    [
        (Annotated[float, Field(lt=1)], 1.5, "must be below 1"),
        (Annotated[float, Field(gt=0)], 0, "must be above 0"),
        (Annotated[float, Field(le=0.9)], 1, "must be at most 0.9"),
        (Annotated[int, Field(ge=1)], 0, "must be at least 1"),
        (Annotated[int, Field(le=65536)], 65537, "must be at most 65536"),
        (Literal["none", "random or not", 3], "x", "must be none, random or not or 3"),
        (Literal["fast"], "cnn", "must be fast"),
        (bytes, "x", "must be of another type"),  # an error that no field of ours can have
    ],
)
def test_a_broken_rule_is_said_with_its_numbers(hint: Any, value: Any, words: str) -> None:
    assert said(hint, value) == words


@pytest.mark.parametrize("value", ["", "x", True, 10**30, -1, -0.5, 0.5, 1e9, float("nan"), float("inf")])
def test_no_check_of_a_field_leaves_the_words_to_pydantic(value: Any) -> None:
    said = {complaint for family in FAMILIES for check in checks(family).values() if (complaint := check(value))}
    assert all(complaint.startswith("must ") for complaint in said)
    assert not any("Input" in complaint for complaint in said)


def test_a_hint_lists_few_names_and_only_the_nearest_of_many_of_equal_ones_the_first() -> None:
    assert nearest("fsat", ["fast", "cnn"]) == "nearest: fast; known: fast, cnn"
    many = [f"name{number}" for number in range(30)]
    assert nearest("name77", many) == "nearest: name7"
    assert nearest("zzz", many).endswith("name11, ...")
    known = [f"architecture.width.{number}" for number in range(1, 9)]
    assert nearest("architecture.widht", known).startswith("nearest: architecture.width.1;")


@pytest.mark.parametrize(("family", "name"), [("mlp", "architecture.dropout"), ("fast", "recipe.flip")])
def test_an_entry_of_what_has_one_value_is_told_that_there_is_one(family: str, name: str) -> None:
    said = f"there is one {name} for the whole network"
    assert [nearest(f"{name}.{entry}", checks(family)) for entry in (1, 12)] == [said, said]
    assert "there is one" not in nearest("architecture.width.99", checks("fast"))
    assert "there is one" not in nearest("architecture.width.1.2", checks("fast"))
