"""The verdict must follow from the interval alone, and every sentence from numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import answered

from search.deciding.recommendation import Origin, judge, recommend
from search.deciding.request import Claim
from search.deciding.statistics import Interval, wilson
from search.deciding.testing import OpenedTest

ends = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
stated = st.floats(1e-6, 1)
DETECTOCORP = Claim("Detectocorp", 0.7)


@settings(deadline=None)
@given(ends, stated)
def test_build_if_and_only_if_the_whole_interval_is_above_the_claim(ends: list[float], claim: float) -> None:
    judged = judge(Claim("Vendor", claim), Interval(ends[0], ends[1]))
    assert (judged.verdict == "build") == (ends[0] > claim) == (judged.margin_points > 0)
    assert (judged.verdict == "buy") == (ends[1] < claim) == (judged.margin_points < 0)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.7, 0.8, "cannot-tell"),  # touching is not above
        (0.70001, 0.8, "build"),
        (0.6, 0.7, "cannot-tell"),
        (0.6, 0.69999, "buy"),
        (0.7, 0.7, "cannot-tell"),
        (*wilson(7090, 10_000), "build"),
        (*wilson(7089, 10_000), "cannot-tell"),
        (*wilson(6911, 10_000), "cannot-tell"),
    ],
)
def test_the_border_belongs_to_nobody(low: float, high: float, verdict: str) -> None:
    assert judge(DETECTOCORP, Interval(low, high)).verdict == verdict


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 100), st.lists(stated, min_size=1, max_size=5))
def test_one_better_offer_is_enough_to_buy_and_all_must_be_beaten_to_build(correct: int, claims: list[float]) -> None:
    low, high = wilson(correct, 100)
    named = [Claim(f"vendor {place}", claim) for place, claim in enumerate(claims)]
    verdict = recommend(answered([correct], 100), named).verdict
    assert (verdict == "build") == (low > max(claims))
    assert (verdict == "buy") == (high < max(claims))


@pytest.mark.parametrize(
    ("kind", "phrases"),
    [
        ("reasons", ["Build in-house", "90.62 %", "10,000 test images", "2,062 fewer mistakes", "No cost was given"]),
        ("changes", ["70.90 % (7,090 of 10,000 right) or more says build", "69.10 % (6,910 right) or less says buy"]),
        ("limits", ["32 x 32 pixels", "10 classes", "closed set", "not detection", "no number of test images and no"]),
        ("limits", ["67.09 % to 72.76 %"]),  # of 700 right of 1,000 images
    ],
)
def test_the_sentences_hold_the_numbers_and_no_invented_cost(kind: str, phrases: list[str]) -> None:
    text = " ".join(getattr(recommend(answered([9062], 10_000), [DETECTOCORP]), kind))
    assert [phrase for phrase in phrases if phrase not in text] == []


@pytest.mark.parametrize(
    ("correct", "says"),
    [
        ([7050], "takes about 32,269 test images"),  # 1.96 ** 2 * 0.7 * 0.3 / 0.005 ** 2
        ([7000], "the two are the same"),
        ([7020, 7080], "more seeds are needed"),
    ],
)
def test_cannot_tell_says_how_many_images_would_tell(correct: list[int], says: str) -> None:
    recommendation = recommend(answered(correct, 10_000), [DETECTOCORP])
    assert recommendation.verdict == "cannot-tell"
    assert says in " ".join(recommendation.changes)


def test_one_seed_is_not_passed_off_as_several() -> None:
    assert "not the spread between seeds" in recommend(answered([9000], 10_000), [DETECTOCORP]).limits[0]
    three = recommend(answered([8990, 9000, 9010], 10_000), [DETECTOCORP])
    assert "spread of 3 seeds" in three.limits[0]
    assert "mean of 3 trainings" in three.reasons[1]


def test_the_claims_are_compared_with_the_metric_of_the_study() -> None:
    answers = np.array([[[882, 18], [52, 48]]])  # 900 cats, 100 dogs: 93 %, balanced 73 %
    test = OpenedTest(seeds=(1,), classes=("cat", "dog"), answers=answers, correct_with_views=(0,))
    claims = [Claim("Vendor", 0.85)]
    assert test.score(balanced=True).accuracy == pytest.approx(0.73)
    assert test.score(balanced=False).accuracy == pytest.approx(0.93)
    low, high = test.score(balanced=True).interval
    assert low < 0.73 < high
    plain, balanced = recommend(test, claims), recommend(test, claims, balanced=True)
    assert (plain.verdict, balanced.verdict) == ("build", "buy")
    said = "the balanced accuracy, in which each class counts alike, is 73.00 %"
    assert said in " ".join(plain.reasons)
    said = "compared with the balanced accuracy, in which each class counts alike"
    assert said in " ".join(balanced.reasons)
    assert "right, is 93.00 %" in " ".join(balanced.reasons)
    assert "dog has 100 test images" in " ".join(balanced.changes)


@pytest.mark.parametrize(
    ("origin", "said"), [("public", "public long before"), ("own", "your own: a"), ("generated", "made up by this")]
)
def test_the_limits_know_whose_the_images_are(origin: Origin, said: str) -> None:
    assert said in recommend(answered([9000], 10_000), [DETECTOCORP], origin=origin).limits[-1]
