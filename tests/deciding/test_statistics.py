"""An interval must hold its estimate, narrow with images and seeds, and agree with the published numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.deciding.statistics import (
    balanced_interval,
    border_counts,
    expected_optimism,
    images_needed,
    interval_at,
    pooled_sd,
    recipe_interval,
    seed_half_width,
    wilson,
)

shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("percent", "low", "high"), [(71.6, 70.7, 72.5), (70.5, 69.6, 71.4), (81.0, 80.2, 81.8), (90.62, 90.0, 91.2)]
)
def test_wilson_agrees_with_published_intervals(percent: float, low: float, high: float) -> None:
    interval = wilson(round(100 * percent), 10_000)
    assert (round(100 * interval.low, 1), round(100 * interval.high, 1)) == (low, high)


def test_70_9_is_the_smallest_accuracy_that_clears_70() -> None:
    assert wilson(7090, 10_000).low > 0.7 > wilson(7089, 10_000).low
    assert border_counts(0.7, 10_000) == (6910, 7090)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.floats(0.001, 1), st.floats(0, 0.2))
def test_border_counts_are_where_the_interval_passes_the_claim(n: int, claim: float, spread: float) -> None:
    below, above = border_counts(claim, n, spread=spread)
    for count in range(n + 1):
        interval = interval_at(count, n, spread=spread)
        assert (interval.high < claim) == (below is not None and count <= below)
        assert (interval.low > claim) == (above is not None and count >= above)


def test_no_test_can_prove_more_than_100_percent() -> None:
    assert border_counts(1.0, 100)[1] is None
    assert border_counts(0.001, 100)[0] is None


def test_the_interval_of_a_mean_is_students() -> None:
    # sd 0.01, t(2) = 4.3027, 4.3027 * 0.01 / sqrt(3) = 0.02484
    assert seed_half_width([0.90, 0.91, 0.92]) == pytest.approx(0.02484, abs=1e-5)
    assert seed_half_width([0.90]) == 0


@settings(deadline=None)
@given(st.integers(1, 5000), st.lists(shares, min_size=1, max_size=6))
def test_a_recipe_interval_lies_in_the_unit_interval_and_holds_the_mean(n: int, found: list[float]) -> None:
    correct = [round(share * n) for share in found]
    interval = recipe_interval(correct, n)
    assert 0 <= interval.low <= sum(correct) / len(correct) / n + 1e-12
    assert sum(correct) / len(correct) / n - 1e-12 <= interval.high <= 1


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 20))
def test_equal_seeds_are_no_new_images(correct: int, seeds: int) -> None:
    assert recipe_interval([correct] * seeds, 1000) == wilson(correct, 1000)


def test_spread_between_seeds_widens_and_more_seeds_narrow() -> None:
    calm, wild = recipe_interval([9200, 9200], 10_000), recipe_interval([9180, 9220], 10_000)
    more = recipe_interval([9180, 9220, 9180, 9220, 9180, 9220], 10_000)
    assert wild.low < more.low < calm.low
    assert calm.high < more.high < wild.high


@settings(deadline=None)
@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98), st.floats(0, 0.05))
def test_the_images_needed_are_enough(accuracy: float, claim: float, spread: float) -> None:
    images = images_needed(accuracy, claim, spread=spread)
    if images is None or images > 10**8:
        assert abs(accuracy - claim) <= spread * 1.01 + 1e-3
        return
    more = 1000 * images  # so that a part of an image plays no role
    interval = interval_at(accuracy * more, more, spread=spread)
    assert interval.low > claim or interval.high < claim
    if images > 1000:
        fewer = images // 2
        interval = interval_at(accuracy * fewer, fewer, spread=spread)
        assert interval.low <= claim <= interval.high


@pytest.mark.parametrize(
    ("trials", "luck"),
    [(1, 0), (2, 0.5642), (10, 1.5388), (50, 2.2491), (5000, 3.6776)],  # the second is 1 / sqrt(pi)
)
def test_the_best_of_many_looks_better_by_known_amounts(trials: int, luck: float) -> None:
    assert expected_optimism(trials, 0.2) == pytest.approx(0.2 * luck, abs=2e-5)


def test_the_spread_is_pooled_within_candidates_not_between_them() -> None:
    assert pooled_sd([[0.90, 0.92], [0.50, 0.52]]) == pytest.approx(0.0141421, abs=1e-6)
    assert pooled_sd([[0.9], [0.5]]) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=6), st.floats(0, 0.1))
def test_a_balanced_interval_holds_the_mean_of_the_classes(classes: list[tuple[int, int]], spread: float) -> None:
    found = [(right / (right + wrong), wilson(right, right + wrong)) for right, wrong in classes if right + wrong]
    if found:
        low, high = balanced_interval(found, spread=spread)
        mean, one = sum(accuracy for accuracy, _ in found) / len(found), balanced_interval(found)
        assert 0 <= low <= one.low <= mean + 1e-12
        assert mean - 1e-12 <= one.high <= high <= 1
        assert balanced_interval(found[:1]) == pytest.approx(found[0][1])
        alike = balanced_interval(found[:1] * 4)  # four equal classes: half as wide, as four times the images
        assert alike.high - alike.low == pytest.approx((found[0][1].high - found[0][1].low) / 2)
