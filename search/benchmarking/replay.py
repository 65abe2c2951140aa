"""Replays search strategies on the recorded curves, many times under the same total cost.

`python -m search.benchmarking.replay` prints a table and writes outcome.json. Each repetition has its own random
part of the pool, order and seed. TPE takes the candidate nearest to what it would try, so that it can show little where
most of the pool is tried anyway: the share of the pool that was tried stands beside each result.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from search.benchmarking.candidate_pool import CURVES, FOLDER, LENGTHS, SPACE, Array, CandidatePool, CurveTable
from search.benchmarking.strategies import KEPT, STRATEGIES, ReplayOutcome, Strategy, search
from search.planning.catalogue import load
from spaces import Space

PART = 0.75  # of the pool in each repetition, so that the intervals hold something of the pool's luck
SHARES = (1.0, 0.5, 0.25)  # of the total cost at which rungs over a part of the pool just fit
REFERENCE = Strategy("tpe", "4", "median")
RESAMPLED = 2000

Repetition = dict[str, list[ReplayOutcome]]  # by strategy: an outcome for each budget


@dataclass(frozen=True)
class StrategySummary:
    """What a strategy came to under one total cost; accuracies and their differences in percent."""

    strategy: str
    share: float
    repetitions: int
    tried: float  # mean share of the pool
    mean: float
    low: float
    high: float
    better: float  # share of repetitions in which it beats the reference
    equal: float  # likewise, in which it comes to the same
    difference: float  # mean, to the reference in the same repetitions
    difference_low: float
    difference_high: float


def budgets(pool: CandidatePool) -> list[float]:
    """The total costs under which strategies are compared."""
    epochs = sum(length * -(-_part(pool) // KEPT**rung) for rung, length in enumerate(LENGTHS))
    return [share * epochs * float(pool.epoch_cost.mean()) for share in SHARES]


def repeat(seed: int, *, pool: CandidatePool, space: Space, with_tpe: bool) -> Repetition:
    """One repetition of every strategy, on the same candidates in the same order."""
    order = np.random.default_rng(seed).permutation(len(pool.stored))[: _part(pool)].tolist()
    return {
        strategy.name: search(strategy, pool, space=space, order=order, budgets=budgets(pool), seed=seed)
        for strategy in STRATEGIES
        if with_tpe or strategy.sampler != "tpe"
    }


def summaries(results: Sequence[Repetition], *, candidates: int) -> list[StrategySummary]:
    """One for each strategy and budget, the best first; `candidates` are those of a part of the pool."""
    rows = []
    for strategy, (index, share) in product(STRATEGIES, enumerate(SHARES)):
        paired = [(row[strategy.name][index], row.get(REFERENCE.name)) for row in results if strategy.name in row]
        accuracy = 100 * np.array([outcome.result for outcome, _ in paired])
        against = 100 * np.array([outcome.result - other[index].result for outcome, other in paired if other])
        tried = float(np.mean([outcome.trials for outcome, _ in paired])) / candidates
        shares = tried, *interval(accuracy), float((against > 0).mean()), float((against == 0).mean())
        rows.append(StrategySummary(strategy.name, share, len(paired), *shares, *interval(against)))
    return sorted(rows, key=lambda row: (-row.share, -row.mean))


def interval(values: Array) -> tuple[float, float, float]:
    """The mean, with its percentile bootstrap interval of 95 %."""
    drawn = np.random.default_rng(0).choice(values, size=(RESAMPLED, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def noise(pool: CandidatePool) -> dict[str, Any]:
    """For outcome.json: how well the scores after each epoch rank candidates as 8 epochs of another seed do."""
    # Also the spread of one training between seeds, and that of the pool, in percent.
    first, final = pool.scores["8/A"][:, -1], pool.scores["8/B"][:, -1]
    averaged = np.array([bool(values["recipe.averaging"]) for values in pool.stored])
    groups = {"all": averaged | True, "averaged": averaged, "plain": ~averaged}
    mean, apart = (first + final) / 2, first - final
    of_seeds = {"all": apart, "better_half": apart[mean >= np.median(mean)]}
    of_pool = {"best": mean.max(), "median": np.median(mean), "sd": mean.std()}
    correlations = {}
    for schedule in (f"{length}/A" for length in LENGTHS):
        epochs = pool.scores[schedule].T
        correlations[schedule] = {
            group: [_rank_correlation(scores[chosen], final[chosen]) for scores in epochs]
            for group, chosen in groups.items()
        }
    return {
        "correlations": correlations,
        "seed_sd_percent": {name: 100 * float(np.sqrt(np.square(d).mean() / 2)) for name, d in of_seeds.items()},
        "pool_percent": {name: 100 * float(number) for name, number in of_pool.items()},
    }


def _rank_correlation(scores: Array, final: Array) -> float | None:
    """Spearman's; None where it has no meaning."""
    meaningless = len(scores) < 3 or np.ptp(scores) == 0 or np.ptp(final) == 0
    return None if meaningless else float(stats.spearmanr(scores, final).statistic)


def _part(pool: CandidatePool) -> int:
    return round(PART * len(pool.stored))


def table(rows: Sequence[StrategySummary]) -> str:
    """Markdown, a line for each strategy and share of the full cost; results in percent."""
    head = "| cost | strategy | repetitions | tried | result | beats | equals | difference |\n" + "| --- " * 8 + "|\n"
    return head + "".join(
        f"| {row.share:.0%} | {row.strategy} | {row.repetitions} | {row.tried:.0%} "
        f"| {row.mean:.2f} ({row.low:.2f} to {row.high:.2f}) | {row.better:.0%} | {row.equal:.0%} "
        f"| {row.difference:+.2f} ({row.difference_low:+.2f} to {row.difference_high:+.2f}) |\n"
        for row in rows
    )


def main() -> None:
    """Replay, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--tpe-repetitions", type=int, default=100, help="of the strategies that draw by TPE")
    parser.add_argument("--out", type=Path, default=FOLDER / "outcome.json")
    given = parser.parse_args()
    curves, space = CurveTable.load(CURVES), load(str(SPACE))
    pool = CandidatePool.of(curves, space)
    results = [repeat(n, pool=pool, space=space, with_tpe=n < given.tpe_repetitions) for n in range(given.repetitions)]
    rows = summaries(results, candidates=_part(pool))
    outcome = {
        "setting": asdict(curves.setting),
        "candidates": len(pool.stored),
        "in_each_repetition": _part(pool),
        "full_cost_in_4_epoch_trials": budgets(pool)[0] / (4 * float(pool.epoch_cost.mean())),
        "reference": REFERENCE.name,
        "strategies": [asdict(row) for row in rows],
        "noise": noise(pool),
    }
    given.out.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{table(rows)}\nwritten to {given.out}\n")


if __name__ == "__main__":
    main()
