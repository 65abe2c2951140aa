"""Trains the best trials again with fresh seeds, because the best of many is partly the luckiest of many."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.deciding.evidence import Confirmed
from search.measuring.seed_spread import seed_spread


def choose(candidates: Sequence[tuple[int, Sequence[float], int]], *, images: int) -> tuple[Confirmed, ...]:
    """The candidate of the highest mean, or the cheapest of those that tie with it.

    `candidates` holds trial, validation accuracies by seed, and FLOPs; `images` is the size of the validation part.
    Two candidates tie when their means differ by less than one standard error of such a difference between seeds.
    """
    assert candidates, "there is nothing to choose from"
    best = max(math.fsum(accuracies) / len(accuracies) for _, accuracies, _ in candidates)
    ties = [
        (flops, trial)
        for trial, accuracies, flops in candidates
        if best - math.fsum(accuracies) / len(accuracies) <= tie_width(len(accuracies), images=images)
    ]
    chosen = min(ties)[1]
    return tuple(
        Confirmed(trial=trial, accuracies=tuple(accuracies), flops=flops, chosen=trial == chosen)
        for trial, accuracies, flops in candidates
    )


def tie_width(seeds: int, *, images: int) -> float:
    """Standard error of the difference of two means over so many seeds, as a fraction."""
    return seed_spread(images) * math.sqrt(2 / seeds)
