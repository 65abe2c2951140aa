"""The verdict must follow from the interval alone, and every sentence from numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.deciding.recommendation import judge, recommend
from search.deciding.request import Claim
from search.deciding.statistics import Interval, wilson

ends = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
stated = st.floats(1e-6, 1)
DETECTOCORP = Claim("Detectocorp", 0.7)


@settings(deadline=None)
@given(ends, stated)
def test_build_if_and_only_if_the_whole_interval_is_above_the_claim(ends: list[float], claim: float) -> None:
    found = judge(Claim("Vendor", claim), Interval(ends[0], ends[1]))
    assert (found.verdict == "build") == (ends[0] > claim)
    assert (found.verdict == "buy") == (ends[1] < claim)
    assert {"build": found.margin_points > 0, "buy": found.margin_points < 0, "cannot-tell": found.margin_points == 0}[
        found.verdict
    ]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.7, 0.8, "cannot-tell"),  # touching is not above
        (0.70001, 0.8, "build"),
        (0.6, 0.7, "cannot-tell"),
        (0.6, 0.69999, "buy"),
        (0.7, 0.7, "cannot-tell"),
    ],
)
def test_the_border_belongs_to_nobody(low: float, high: float, verdict: str) -> None:
    assert judge(DETECTOCORP, Interval(low, high)).verdict == verdict


@pytest.mark.parametrize(("correct", "verdict"), [(7090, "build"), (7089, "cannot-tell"), (6911, "cannot-tell")])
def test_ten_thousand_images_decide_about_70_percent_from_70_9(correct: int, verdict: str) -> None:
    assert judge(DETECTOCORP, wilson(correct, 10_000)).verdict == verdict


@settings(deadline=None, max_examples=25)
@given(ends, st.lists(stated, min_size=1, max_size=5))
def test_one_better_offer_is_enough_to_buy_and_all_must_be_beaten_to_build(
    ends: list[float], claims: list[float]
) -> None:
    interval = Interval(ends[0], ends[1])
    named = [Claim(f"vendor {place}", claim) for place, claim in enumerate(claims)]
    verdict = recommend(sum(ends) / 2, interval, named, n=100).verdict
    assert (verdict == "build") == (ends[0] > max(claims))
    assert (verdict == "buy") == (ends[1] < max(claims))


def test_the_sentences_hold_the_numbers_and_no_invented_cost() -> None:
    found = recommend(0.9062, wilson(9062, 10_000), [DETECTOCORP], n=10_000)
    reasons = " ".join(found.reasons)
    assert len(found.reasons) >= 3
    assert "Build in-house" in reasons
    assert "90.62 %" in reasons
    assert "10,000 test images" in reasons
    assert "2,062 fewer mistakes per 10,000 images" in reasons
    assert "No cost was given" in reasons
    changes = " ".join(found.changes)
    assert "70.90 % (7,090 of 10,000 right) or more says build" in changes
    assert "69.10 % (6,910 right) or less says buy" in changes
    limits = " ".join(found.limits)
    for word in (
        "32 x 32 pixels",
        "ten classes",
        "closed set",
        "not detection",
        "no number of test images and no split",
    ):
        assert word in limits
    assert "67.09 % to 72.76 %" in limits  # 700 of 1,000 images


def test_cannot_tell_says_how_many_images_would_tell() -> None:
    found = recommend(0.705, wilson(7050, 10_000), [DETECTOCORP], n=10_000)
    assert found.verdict == "cannot-tell"
    assert "takes about 32,269 test images" in " ".join(found.changes)  # 1.96 ** 2 * 0.7 * 0.3 / 0.005 ** 2
    same = recommend(0.7, wilson(7000, 10_000), [DETECTOCORP], n=10_000)
    assert "the two are the same" in " ".join(same.changes)
    wild = recommend(0.705, Interval(0.67, 0.73), [DETECTOCORP], n=10_000, seeds=2, spread=0.03)
    assert "more seeds are needed" in " ".join(wild.changes)


def test_one_seed_is_not_passed_off_as_several() -> None:
    one = recommend(0.9, wilson(9000, 10_000), [DETECTOCORP], n=10_000)
    assert "not the spread between seeds" in one.limits[0]
    three = recommend(0.9, wilson(9000, 10_000), [DETECTOCORP], n=10_000, seeds=3, spread=0.001)
    assert "spread of 3 seeds" in three.limits[0]
    assert "mean of 3 trainings" in three.reasons[1]
