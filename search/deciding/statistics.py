"""How sure an accuracy is: intervals, the images needed, and the luck in choosing the best of many."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import ceil, floor, hypot, inf, sqrt
from statistics import fmean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

LEVEL = 0.95  # how often an interval holds the truth


class Interval(NamedTuple):
    """The two ends of an interval of that level."""

    low: float
    high: float


def wilson(correct: int, n: int) -> Interval:
    """The Wilson score interval of `correct` right answers on `n` images."""
    ends = stats.binomtest(correct, n).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Interval(float(ends.low), float(ends.high))


def seed_half_width(accuracies: Sequence[float]) -> float:
    """Half of Student's t interval of the seeds' mean; 0 with one seed, whose spread nobody measured."""
    if len(accuracies) < 2:
        return 0.0
    return float(stats.t.ppf((1 + LEVEL) / 2, len(accuracies) - 1) * stats.sem(accuracies))


def interval_at(correct: float, n: int, *, spread: float = 0.0) -> Interval:
    """Wilson's interval for `correct` of `n` images, each side widened in quadrature by `spread`, within [0, 1]."""
    # `correct` may be a mean over seeds: a part of an image is rounded outwards.
    low, high = wilson(floor(correct), n).low, wilson(ceil(correct), n).high
    if spread == 0:
        return Interval(low, high)
    accuracy = correct / n
    below, above = hypot(accuracy - low, spread), hypot(high - accuracy, spread)
    return Interval(max(0.0, accuracy - below), min(1.0, accuracy + above))


def recipe_interval(correct_per_seed: Sequence[int], n: int) -> Interval:
    """The interval of a recipe's accuracy: trained once per seed, each time tested on the same `n` images.

    One seed: Wilson, which covers the finite test set and says nothing of other seeds. Several: the seeds share the
    images, so k seeds are not k * n images. Whatever k is, the images contribute at most the variance p(1 - p)/n to
    the mean accuracy; that is Wilson at the mean with n images. The seeds contribute the t interval of their mean.
    The two half-widths are added in quadrature. This errs on the wide side: part of the spread between seeds is
    itself noise of a finite test set (Jordan, arXiv 2304.01910), and with two seeds t is very cautious.
    """
    spread = seed_half_width([correct / n for correct in correct_per_seed])
    return interval_at(fmean(correct_per_seed), n, spread=spread)


def normal_interval(values: npt.NDArray[np.float64]) -> tuple[float, Interval]:
    """The mean of many independent values, with its interval."""
    half = float(stats.norm.ppf((1 + LEVEL) / 2) * stats.sem(values)) if len(values) > 1 else inf
    return float(values.mean()), Interval(float(values.mean()) - half, float(values.mean()) + half)


def balanced_interval(classes: Sequence[tuple[float, Interval]], *, spread: float = 0.0) -> Interval:
    """The interval of the mean of the classes' accuracies, from the interval of each, widened as above by `spread`.

    The half-widths are added in quadrature, each side by itself (MOVER: Zou and Donner 2008, Statistics in Medicine).
    """
    accuracy, k = fmean(mean for mean, _ in classes), len(classes)
    below = hypot(spread, *((mean - interval.low) / k for mean, interval in classes))
    above = hypot(spread, *((interval.high - mean) / k for mean, interval in classes))
    return Interval(max(0.0, accuracy - below), min(1.0, accuracy + above))


def border_counts(accuracy: float, n: int, *, spread: float = 0.0) -> tuple[int | None, int | None]:
    """The most right answers of `n` whose interval lies below `accuracy`, and the fewest whose interval lies above."""
    counts = range(n + 1)
    below = bisect_left(counts, accuracy, key=lambda k: interval_at(k, n, spread=spread).high) - 1
    above = bisect_right(counts, accuracy, key=lambda k: interval_at(k, n, spread=spread).low)
    return (below if below >= 0 else None), (above if above <= n else None)


def images_needed(accuracy: float, other: float, *, spread: float = 0.0) -> int | None:
    """Test images at which `accuracy` would clear `other`; None where the spread between seeds alone hides it."""
    # Wilson's interval is the inverted score test: it clears c as soon as |p - c| > z * sqrt(c(1 - c)/n).
    difference = abs(accuracy - other)
    if difference <= spread:
        return None
    rest = sqrt(difference**2 - spread**2)
    border = accuracy - rest if accuracy > other else accuracy + rest
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    needed = z**2 * border * (1 - border) / rest**2
    return max(1, ceil(needed)) if needed < 1e12 else None


def pooled_sd(groups: Sequence[Sequence[float]]) -> float | None:
    """The standard deviation within groups of seeds; None without two seeds anywhere."""
    squares = [(value - fmean(group)) ** 2 for group in groups for value in group]
    freedom = len(squares) - len(groups)
    return sqrt(sum(squares) / freedom) if freedom else None


def expected_optimism(k: int, sd: float) -> float:
    """By how much the best of `k` equally good trials looks better than it is: sd * E[max of k standard normals]."""
    return sd * float(stats.norm.expect(lambda x: k * x * stats.norm.cdf(x) ** (k - 1)))
