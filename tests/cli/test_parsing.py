"""What the text of an option may be: read as what it means, or refused with the rule and the text."""

from __future__ import annotations

import pytest

from search.cli.parsing import parse_claim, parse_compile_mode, parse_seconds, parse_slots
from search.deciding.request import Claim
from search.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name", "accuracy"),
    [
        ("Detectocorp=70", "Detectocorp", 0.7),
        ("Detectocorp=70%", "Detectocorp", 0.7),
        (" Detecto corp = 70.5 % ", "Detecto corp", 0.705),
        ("a=b=100", "a=b", 1.0),
        ("tiny=0.5%", "tiny", 0.005),
    ],
)
def test_claims_are_read_as_percentages(text: str, name: str, accuracy: float) -> None:
    assert parse_claim(text) == Claim(name, accuracy)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Detectocorp", "NAME=PERCENT"),
        ("Detectocorp=", "plain number"),
        ("Detectocorp=seventy", "'seventy'"),
        ("Detectocorp=nan", "plain number"),
        ("Detectocorp=1e1", "plain number"),
        ("Detectocorp=-5", "'-5'"),
        ("Detectocorp=70,5", "70.5"),
        ("Detectocorp=0", "above 0 %"),
        ("Detectocorp=101", "not 101 %"),
        ("=70", "name"),
        ("two\nlines=70", "printable"),
        ("Detectocorp=0.7", "Detectocorp=70 or Detectocorp=0.7%"),  # a fraction would win a verdict it does not deserve
    ],
)
def test_a_bad_claim_is_refused_with_the_rule_and_the_text(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_claim(text)


def test_a_time_may_have_a_unit() -> None:
    assert [parse_seconds(text) for text in ("90", "90s", " 1.5m ", "2h")] == [90, 90, 90, 7200]
    with pytest.raises(UsageError, match="90s, 30m or 2h, not '5 days'"):
        parse_seconds("5 days")


def test_slots_are_a_number_or_auto() -> None:
    assert (parse_slots("auto"), parse_slots("3")) == ("auto", 3)
    for text in ("many", "1.5", "", "0", "-1"):
        with pytest.raises(UsageError, match=f"from 1, or auto, not '{text}'"):
            parse_slots(text)


def test_a_mode_of_compiling_is_one_that_torch_knows() -> None:
    assert parse_compile_mode("reduce-overhead") == "reduce-overhead"
    with pytest.raises(UsageError, match="default, reduce-overhead, not 'fastest'"):
        parse_compile_mode("fastest")
