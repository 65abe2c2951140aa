"""Replays search strategies on the recorded curves, many times under the same total cost.

`python search/benchmarking/replay.py` draws a table and writes outcome.json. Each repetition has its own random
part of the pool, order and seed. TPE takes the candidate nearest to what it would try, so that it can show little where
most of the pool is tried anyway: the share of the pool that was tried stands beside each result.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import optuna
from rich.console import Console
from rich.table import Table as Drawn
from scipy import stats

from search.benchmarking.candidate_pool import Array, Pool
from search.benchmarking.curves import CURVES, FOLDER, LENGTHS, SPACE, Table, load
from search.benchmarking.strategies import KEPT, STRATEGIES, Outcome, Strategy, search
from search.planning.catalogue import load as load_space
from spaces import Space

PART = 0.75  # of the pool in each repetition, so that the intervals hold something of the pool's luck
SHARES = (1.0, 0.5, 0.25)  # of the total cost at which rungs over a part of the pool just fit
REFERENCE = Strategy(sampler="tpe", epochs="4", pruner="median")
RESAMPLED = 2000
LEVEL = 95  # percent


@dataclass(frozen=True, kw_only=True)
class Row:
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


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What the scores of a pool are worth."""

    correlations: dict[str, dict[str, list[float | None]]]  # with 8/B: by schedule, then with averaged weights or not
    seed_sd_percent: dict[str, float]  # of one training of 8 epochs
    pool_percent: dict[str, float]  # of 8 epochs, mean of two seeds


Results = list[dict[str, list[Outcome]]]
"""By repetition: by strategy, an outcome for each budget."""


def budgets(pool: Pool) -> list[float]:
    """The total costs under which strategies are compared."""
    count = _part(pool)
    epochs = sum(length * -(-count // KEPT**rung) for rung, length in enumerate(LENGTHS))
    return [share * epochs * float(pool.epoch_cost.mean()) for share in SHARES]


def repeat(repetition: int, *, pool: Pool, space: Space, tpe_repetitions: int) -> dict[str, list[Outcome]]:
    """One repetition of every strategy, on the same candidates in the same order."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    order = np.random.default_rng(repetition).permutation(len(pool))[: _part(pool)].tolist()
    return {
        strategy.name: search(strategy, pool, space=space, order=order, budgets=budgets(pool), seed=repetition)
        for strategy in STRATEGIES
        if strategy.sampler != "tpe" or repetition < tpe_repetitions
    }


def rows(results: Results, *, candidates: int) -> list[Row]:
    """A row for each strategy and budget, the best first; `candidates` are those of a part of the pool."""
    found = [
        _row(strategy.name, results, index=index, candidates=candidates)
        for strategy in STRATEGIES
        for index in range(len(SHARES))
    ]
    return sorted(found, key=lambda row: (-row.share, -row.mean))


def _row(name: str, results: Results, *, index: int, candidates: int) -> Row:
    own = [repetition[name][index] for repetition in results if name in repetition]
    accuracy = 100 * np.array([outcome.result for outcome in own])
    paired = [repetition for repetition in results if name in repetition and REFERENCE.name in repetition]
    differences = 100 * np.array(
        [repetition[name][index].result - repetition[REFERENCE.name][index].result for repetition in paired]
    )
    low, high = interval(accuracy)
    difference_low, difference_high = interval(differences)
    return Row(
        strategy=name,
        share=SHARES[index],
        repetitions=len(own),
        tried=float(np.mean([outcome.trials for outcome in own])) / candidates,
        mean=float(accuracy.mean()),
        low=low,
        high=high,
        better=float((differences > 0).mean()),
        equal=float((differences == 0).mean()),
        difference=float(differences.mean()),
        difference_low=difference_low,
        difference_high=difference_high,
    )


def interval(values: Array) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean."""
    drawn = np.random.default_rng(0).choice(values, size=(RESAMPLED, len(values))).mean(1)
    low, high = np.percentile(drawn, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def noise(pool: Pool, averaging: Sequence[bool]) -> Noise:
    """How far a score after some epochs orders candidates as 8 epochs of another seed do, and what seeds differ by."""
    final = pool.scores["8/B"][:, -1]
    groups = {"all": np.full(len(pool), True), "averaged": np.array(averaging), "plain": ~np.array(averaging)}
    correlations = {
        f"{length}/A": {
            group: [_rank_correlation(scores[chosen], final[chosen]) for scores in pool.scores[f"{length}/A"].T]
            for group, chosen in groups.items()
        }
        for length in LENGTHS
    }
    first = pool.scores["8/A"][:, -1]
    mean = (first + final) / 2
    best = mean >= np.median(mean)
    return Noise(
        correlations=correlations,
        seed_sd_percent={"all": _seed_sd(first - final), "better_half": _seed_sd((first - final)[best])},
        pool_percent={
            "best": 100 * float(mean.max()),
            "median": 100 * float(np.median(mean)),
            "sd": 100 * float(mean.std()),
        },
    )


def _rank_correlation(scores: Array, final: Array) -> float | None:
    """Spearman's; None where it has no meaning."""
    if len(scores) < 3 or np.ptp(scores) == 0 or np.ptp(final) == 0:
        return None
    return float(stats.spearmanr(scores, final).statistic)


def _seed_sd(differences: Array) -> float:
    """Of one training, in percent, from the differences of pairs."""
    return 100 * float(np.sqrt(np.mean(np.square(differences)) / 2))


def _part(pool: Pool) -> int:
    return max(1, round(PART * len(pool)))


def replay(table: Table, *, space: Space, repetitions: int, tpe_repetitions: int, jobs: int) -> tuple[list[Row], Noise]:
    """The rows of all strategies, and the noise of the pool."""
    pool = Pool.of(table, space)
    averaging = [bool(stored["recipe.averaging"]) for stored in pool.stored]
    work = partial(repeat, pool=pool, space=space, tpe_repetitions=tpe_repetitions)
    found = rows(_mapped(work, range(repetitions), jobs=jobs), candidates=_part(pool))
    return found, noise(pool, averaging)


def _mapped(work: Callable[[int], dict[str, list[Outcome]]], repetitions: Iterable[int], *, jobs: int) -> Results:
    if jobs == 1:
        return [work(repetition) for repetition in repetitions]
    with multiprocessing.get_context("spawn").Pool(jobs) as processes:
        return processes.map(work, repetitions, chunksize=1)


def drawn(found: Sequence[Row], *, share: float) -> Drawn:
    """The strategies under one total cost."""
    table = Drawn(title=f"{share:.0%} of the full cost; result and difference in percent, {LEVEL} % intervals")
    for title in ("strategy", "repetitions", "tried", "result", "", "beats", "equals", "difference", ""):
        table.add_column(title, justify="left" if title == "strategy" else "right")
    for row in found:
        if row.share == share:
            table.add_row(
                row.strategy,
                str(row.repetitions),
                f"{row.tried:.0%}",
                f"{row.mean:.2f}",
                f"{row.low:.2f} to {row.high:.2f}",
                f"{row.better:.0%}",
                f"{row.equal:.0%}",
                f"{row.difference:+.2f}",
                f"{row.difference_low:+.2f} to {row.difference_high:+.2f}",
            )
    return table


def main() -> None:
    """Replay, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--tpe-repetitions", type=int, default=100, help="of the strategies that draw by TPE")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--out", type=Path, default=FOLDER / "outcome.json")
    given = parser.parse_args()
    table, space, console = load(given.curves), load_space(str(SPACE)), Console()
    found, facts = replay(
        table, space=space, repetitions=given.repetitions, tpe_repetitions=given.tpe_repetitions, jobs=given.jobs
    )
    pool = Pool.of(table, space)
    about = {
        "setting": asdict(table.setting),
        "candidates": len(pool),
        "in_each_repetition": _part(pool),
        "full_cost_in_4_epoch_trials": budgets(pool)[0] / (4 * float(pool.epoch_cost.mean())),
        "reference": REFERENCE.name,
    }
    text = json.dumps({**about, "strategies": [asdict(row) for row in found], "noise": asdict(facts)}, indent=1)
    given.out.write_text(text + "\n", encoding="utf-8")
    console.print(about)
    for share in SHARES:
        console.print(drawn(found, share=share))
    console.print(asdict(facts))


if __name__ == "__main__":
    main()
