"""Replays search strategies on the recorded curves, many times under the same total cost.

`python -m search.benchmarking.replay` prints a table and writes outcome.json. Each repetition has its own random
part of the pool, order and seed. TPE takes the candidate nearest to what it would try, so that it can show little where
most of the pool is tried anyway: the share of the pool that was tried stands beside each result.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from search.benchmarking.candidate_pool import Array, CandidatePool
from search.benchmarking.curves import CURVES, FOLDER, LENGTHS, SPACE, load
from search.benchmarking.strategies import KEPT, STRATEGIES, ReplayOutcome, Strategy, search
from search.planning.catalogue import load as load_space
from spaces import Space

PART = 0.75  # of the pool in each repetition, so that the intervals hold something of the pool's luck
SHARES = (1.0, 0.5, 0.25)  # of the total cost at which rungs over a part of the pool just fit
REFERENCE = Strategy(sampler="tpe", epochs="4", pruner="median")
RESAMPLED = 2000
LEVEL = 95  # percent

Results = list[dict[str, list[ReplayOutcome]]]
"""For each repetition, by strategy: an outcome for each budget."""


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
    count = _part(pool)
    epochs = sum(length * -(-count // KEPT**rung) for rung, length in enumerate(LENGTHS))
    return [share * epochs * float(pool.epoch_cost.mean()) for share in SHARES]


def repeat(
    repetition: int, *, pool: CandidatePool, space: Space, tpe_repetitions: int
) -> dict[str, list[ReplayOutcome]]:
    """One repetition of every strategy, on the same candidates in the same order."""
    order = np.random.default_rng(repetition).permutation(len(pool))[: _part(pool)].tolist()
    return {
        strategy.name: search(strategy, pool, space=space, order=order, budgets=budgets(pool), seed=repetition)
        for strategy in STRATEGIES
        if strategy.sampler != "tpe" or repetition < tpe_repetitions
    }


def summaries(results: Results, *, candidates: int) -> list[StrategySummary]:
    """One for each strategy and budget, the best first; `candidates` are those of a part of the pool."""
    rows = []
    for strategy, (index, share) in product(STRATEGIES, enumerate(SHARES)):
        paired = [(row[strategy.name][index], row.get(REFERENCE.name)) for row in results if strategy.name in row]
        accuracy = 100 * np.array([outcome.result for outcome, _ in paired])
        against = 100 * np.array([outcome.result - other[index].result for outcome, other in paired if other])
        tried = float(np.mean([outcome.trials for outcome, _ in paired])) / candidates
        better, equal = float((against > 0).mean()), float((against == 0).mean())
        rows.append(
            StrategySummary(
                strategy.name, share, len(paired), tried, *interval(accuracy), better, equal, *interval(against)
            )
        )
    return sorted(rows, key=lambda row: (-row.share, -row.mean))


def interval(values: Array) -> tuple[float, float, float]:
    """The mean, with its percentile bootstrap interval."""
    drawn = np.random.default_rng(0).choice(values, size=(RESAMPLED, len(values))).mean(1)
    low, high = np.percentile(drawn, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(values.mean()), float(low), float(high)


def noise(pool: CandidatePool) -> dict[str, Any]:
    """For outcome.json: how far a score after some epochs orders candidates as 8 epochs of another seed do.

    Beside it the spread of one training between seeds, and of the pool, in percent.
    """
    first, final = pool.scores["8/A"][:, -1], pool.scores["8/B"][:, -1]
    averaged = np.array([bool(values["recipe.averaging"]) for values in pool.stored])
    groups = {"all": averaged | True, "averaged": averaged, "plain": ~averaged}
    mean, apart = (first + final) / 2, first - final
    of_pool = {"best": mean.max(), "median": np.median(mean), "sd": mean.std()}
    of_seeds = {"all": apart, "better_half": apart[mean >= np.median(mean)]}
    return {
        "correlations": {
            f"{length}/A": {
                group: [_rank_correlation(scores[chosen], final[chosen]) for scores in pool.scores[f"{length}/A"].T]
                for group, chosen in groups.items()
            }
            for length in LENGTHS
        },
        "seed_sd_percent": {name: 100 * float(np.sqrt(np.square(d).mean() / 2)) for name, d in of_seeds.items()},
        "pool_percent": {name: 100 * float(number) for name, number in of_pool.items()},
    }


def _rank_correlation(scores: Array, final: Array) -> float | None:
    """Spearman's; None where it has no meaning."""
    if len(scores) < 3 or np.ptp(scores) == 0 or np.ptp(final) == 0:
        return None
    return float(stats.spearmanr(scores, final).statistic)


def _part(pool: CandidatePool) -> int:
    return max(1, round(PART * len(pool)))


def table(rows: Sequence[StrategySummary]) -> str:
    """Markdown, a line for each strategy and share of the full cost; results in percent."""
    titles = ("cost", "strategy", "repetitions", "tried", "result", "beats", "equals", "difference")
    lines = [titles, ("---",) * len(titles)]
    for row in rows:
        result = f"{row.mean:.2f} ({row.low:.2f} to {row.high:.2f})"
        difference = f"{row.difference:+.2f} ({row.difference_low:+.2f} to {row.difference_high:+.2f})"
        tried, better, equal = (f"{share:.0%}" for share in (row.tried, row.better, row.equal))
        lines.append((f"{row.share:.0%}", row.strategy, str(row.repetitions), tried, result, better, equal, difference))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Replay, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--tpe-repetitions", type=int, default=100, help="of the strategies that draw by TPE")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--out", type=Path, default=FOLDER / "outcome.json")
    given = parser.parse_args()
    curves, space = load(given.curves), load_space(str(SPACE))
    pool = CandidatePool.of(curves, space)
    work = partial(repeat, pool=pool, space=space, tpe_repetitions=given.tpe_repetitions)
    with multiprocessing.get_context("spawn").Pool(given.jobs) as processes:
        results = processes.map(work, range(given.repetitions), chunksize=1)
    rows = summaries(results, candidates=_part(pool))
    outcome = {
        "setting": asdict(curves.setting),
        "candidates": len(pool),
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
