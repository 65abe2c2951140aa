"""Compares search strategies on the recorded pool: the same time for all, judged by what they choose.

`python -m search.benchmarking.replay` prints a table and writes outcome.json.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from search.benchmarking.candidate_pool import (
    CHANCE,
    CURVES,
    FOLDER,
    IMAGES,
    LENGTHS,
    UNIT,
    CurveTable,
    PoolEntry,
    looks_of,
    pool_space,
)
from search.files import write_whole
from search.planning.confirmation import Confirmed, choose
from studies.algorithms import KEPT

TIME = 196.0  # units of cost that every strategy has: the longest training and half of it more
HELD_OUT = 3  # one candidate in so many chooses no strategy
PART = 0.75  # of the candidates, in each repetition in another order
VALIDATION = 5_000  # images
RESAMPLED = 2_000


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How the time is divided, what is drawn, and how long a trial is."""

    name: str
    kinds: tuple[str, ...]  # of the candidates, see `entry_of`
    searching: float  # share of the time
    confirming: float
    trial: int  # units of a trial
    looks: tuple[int, ...]  # units after which halving decides
    contenders: int = 3
    known: bool = True  # the known recipes are tried first, and one of them is always confirmed
    by_length: bool = True  # likewise, and the recipe that suits the final training wins a tie


STRATEGIES = (
    Strategy(name="the recipe alone", kinds=(), searching=0, confirming=0, trial=0, looks=(), contenders=1),
    Strategy(
        name="3becf19",
        kinds=("wide",),
        searching=0.46,
        confirming=0.27,
        trial=4,
        looks=(2,),
        contenders=2,
        by_length=False,
    ),
    Strategy(
        name="random, same rungs", kinds=("wide",), searching=0.2, confirming=0.2, trial=4, looks=(1,), known=False
    ),
    Strategy(name="prior", kinds=("near", "narrow"), searching=0.2, confirming=0.2, trial=4, looks=(1,)),
)


@dataclass(frozen=True, kw_only=True)
class ReplayOutcome:
    """What a strategy came to."""

    trials: int
    chosen: int  # number in the pool
    units: float  # of its final training
    accuracy: float  # after it, of a seed that chose nothing


def error(entry: PoolEntry, units: float, *, seed: str = "A") -> float:
    """Of a complete training of so many units, between two recorded lengths by a power law."""
    lengths = [length for length in (*LENGTHS, 256) if f"{length}/{seed}" in entry.curves or length < 128]
    errors = [1 - last(entry, length, seed=seed if length >= 128 else "A") for length in lengths]
    return float(np.exp(np.interp(math.log(units), np.log(lengths), np.log(errors))))


def last(entry: PoolEntry, length: int, *, seed: str) -> float:
    """Accuracy at the end of a recorded training."""
    curve = entry.curves[f"{length}/{seed}"].accuracy
    return curve[-1] if len(curve) == len(looks_of(length)) else CHANCE


def search(strategy: Strategy, order: Sequence[PoolEntry], known: Sequence[PoolEntry]) -> ReplayOutcome:
    """One search, confirmation and final training."""
    if not strategy.contenders > 1:
        return ReplayOutcome(trials=0, chosen=0, units=TIME, accuracy=1 - error(known[0], TIME, seed="B"))
    drawn = [*(known if strategy.known else ()), *(entry for entry in order if entry.kind in strategy.kinds)]
    complete, tried = run_trials(strategy, drawn)
    ranked = [entry for entry, _ in sorted(complete, key=lambda row: -row[1])] or drawn[:1]
    final = (1 - strategy.searching - strategy.confirming) * TIME
    first = known[0] if strategy.known else ranked[0]
    suiting = min(known, key=lambda entry: abs(math.log(suits(entry) / epochs(entry, final))), default=first)
    always = [first] if not strategy.by_length or suiting is first else [suiting, first]
    always = always if strategy.known else []
    best = [entry for entry in ranked if entry not in always][: strategy.contenders - len(always)]
    contenders = [*best, *always]
    costs = [entry.flops for entry in contenders]
    rows = [
        Confirmed(
            trial=entry.number,
            accuracies=(1 - error(entry, strategy.confirming * TIME * entry.flops / sum(costs)),),
            flops=entry.flops,
        )
        for entry in contenders
    ]
    winner = choose(rows, images=VALIDATION, suiting=suiting.number if strategy.by_length and strategy.known else None)
    chosen = next(entry for entry in contenders if entry.number == winner.trial)
    return ReplayOutcome(trials=tried, chosen=chosen.number, units=final, accuracy=1 - error(chosen, final, seed="B"))


def run_trials(strategy: Strategy, drawn: Sequence[PoolEntry]) -> tuple[list[tuple[PoolEntry, float]], int]:
    """The complete trials with their scores, and how many were begun, until the time is over; halving as Optuna's."""
    spent, complete, tried = 0.0, list[tuple[PoolEntry, float]](), 0
    rungs: dict[int, list[float]] = {look: [] for look in strategy.looks}
    for entry in drawn:
        accuracies = dict(zip(looks_of(strategy.trial), entry.curves[f"{strategy.trial}/A"].accuracy, strict=False))
        equal = UNIT / entry.unit_images  # trials are of as many epochs, not as much work
        before, tried = 0, tried + 1
        for look in (*strategy.looks, strategy.trial):
            spent, before = spent + (look - before) * equal, look
            score = accuracies.get(look, CHANCE)
            if look == strategy.trial:
                complete.append((entry, score))
                break
            rungs[look].append(score)
            if score < sorted(rungs[look], reverse=True)[max(0, len(rungs[look]) // KEPT - 1)]:
                break
        if spent >= strategy.searching * TIME:
            break
    return complete, tried


def suits(entry: PoolEntry) -> float:
    """Epochs of a training that a known recipe is the best known for."""
    return float(pool_space().baselines[entry.number].epochs or 1)


def epochs(entry: PoolEntry, units: float) -> float:
    return units * entry.unit_images / IMAGES


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean, with its percentile bootstrap interval of 95 %."""
    drawn = np.random.default_rng(0).choice(values, size=(RESAMPLED, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.mean(values)), float(low), float(high)


def repeat(table: CurveTable, *, held_out: bool, repetitions: int) -> dict[str, list[ReplayOutcome]]:
    """The choices of every strategy by name, in each repetition on the same candidates in the same order."""
    known = [entry for entry in table.entries if entry.kind == "known"]
    others = [entry for entry in table.entries if entry.kind != "known" and complete(entry)]
    others = [entry for entry in others if (entry.number // 3 % HELD_OUT == 0) == held_out]  # as many of each kind
    found: dict[str, list[ReplayOutcome]] = {strategy.name: [] for strategy in STRATEGIES}
    for seed in range(repetitions):
        order = np.random.default_rng(seed).permutation(len(others))[: round(PART * len(others))]
        for strategy in STRATEGIES:
            found[strategy.name].append(search(strategy, [others[index] for index in order], known))
    return found


def complete(entry: PoolEntry) -> bool:
    return entry.schedules.keys() <= entry.curves.keys()


def summary(found: Mapping[str, Sequence[ReplayOutcome]]) -> list[dict[str, object]]:
    """A row for each strategy: its mean accuracy, and by how much the last strategy is better, in percent."""
    *_, ours = found.values()
    rows = []
    for name, choices in found.items():
        gains = [100 * (our.accuracy - choice.accuracy) for our, choice in zip(ours, choices, strict=True)]
        mean, low, high = interval(gains)
        rows.append(
            {
                "strategy": name,
                "trials": float(np.mean([choice.trials for choice in choices])),
                "accuracy": 100 * float(np.mean([choice.accuracy for choice in choices])),
                "ours is better by": mean,
                "low": low,
                "high": high,
                "first recipe chosen": float(np.mean([choice.chosen == 0 for choice in choices])),
            }
        )
    return rows


def correlations(table: CurveTable) -> dict[str, dict[int, float]]:
    """Spearman's rank correlation of each look of each schedule with the longest schedule of the other seed."""
    entries = [entry for entry in table.entries if complete(entry)]
    final = [last(entry, LENGTHS[-1], seed="B") for entry in entries]
    found: dict[str, dict[int, float]] = {}
    for length in LENGTHS:
        curves = [entry.curves[f"{length}/A"].accuracy for entry in entries]
        for place, look in enumerate(looks_of(length)):
            scores = [curve[place] if place < len(curve) else CHANCE for curve in curves]
            found.setdefault(f"{length}/A", {})[look] = float(stats.spearmanr(scores, final).statistic)
    return found


def main() -> None:
    """Replay, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--choosing", action="store_true", help="on the candidates that may choose a strategy")
    given = parser.parse_args()
    table = CurveTable.load(CURVES)
    rows = summary(repeat(table, held_out=not given.choosing, repetitions=given.repetitions))
    outcome = {
        "candidates": sum(map(complete, table.entries)),
        "held_out": not given.choosing,
        "repetitions": given.repetitions,
        "units": TIME,
        "unit_images": UNIT,
        "strategies": [asdict(strategy) for strategy in STRATEGIES],
        "outcome": rows,
        "rank_correlation": correlations(table),
    }
    if not given.choosing:
        write_whole(FOLDER / "outcome.json", (json.dumps(outcome, indent=1) + "\n").encode())
    for row in rows:
        cells = [f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()]
        sys.stdout.write("| " + " | ".join(cells) + " |\n")


if __name__ == "__main__":
    main()
