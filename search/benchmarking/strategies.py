"""Strategies that search a pool under one total cost, each ended by the confirmation of its best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from search.benchmarking.candidate_pool import LENGTHS, CandidatePool, place
from spaces import Space
from studies.algorithms import STARTUP_TRIALS, ReplayedStudy

FULL = LENGTHS[-1]  # epochs of the final training
KEPT = 3  # one candidate in so many rises to the next rung


@dataclass(frozen=True)
class Strategy:
    """How candidates are drawn, and how long each is trained.

    `rungs` trains all for 2 epochs, the best third of them for 4 and the best ninth for 8, each time from the start
    with a complete schedule. `equal` gives a network the length at which it costs nearest to 4 epochs of the median.
    """

    sampler: str
    epochs: str  # a number, or one of these two words
    pruner: str = "none"
    confirmed: int = 3  # candidates
    judged: int = FULL  # epochs of each one's confirmation

    @property
    def name(self) -> str:
        kind = f"{self.epochs} epochs" if self.epochs.isdigit() else self.epochs
        pruned = f", {self.pruner}" if self.pruner != "none" else ""
        other = f", {self.confirmed} confirmed by {self.judged}" if self.judged != FULL else ""
        return f"{self.sampler}, {kind}{pruned}{other}"


_WAYS = (  # epochs, pruner, confirmed, judged
    *((epochs, pruner, 3, FULL) for pruner in ("none", "median") for epochs in ("2", "4", "8")),
    *((epochs, "none", 3, FULL) for epochs in ("rungs", "equal")),
    ("2", "none", 6, 4),
    ("2", "none", 3, 4),
    ("2", "median", 3, 4),
)

STRATEGIES = tuple(Strategy(sampler, *way) for way, sampler in product(_WAYS, ("random", "tpe")))


@dataclass(frozen=True, kw_only=True)
class ReplayedTrial:
    """One training of the search."""

    candidate: int  # its index in the pool
    epochs: int  # until its end, or until it was pruned
    pruned: bool
    score: float  # after the last epoch


@dataclass(frozen=True, kw_only=True)
class ReplayOutcome:
    """The result of a search."""

    trials: int
    cost: float  # confirmation included
    winner: int  # index in the pool
    result: float  # the winner's accuracy with a seed that chose nothing


def search(
    strategy: Strategy, pool: CandidatePool, *, space: Space, order: Sequence[int], budgets: Sequence[float], seed: int
) -> list[ReplayOutcome]:
    """The outcome of the strategy under each of these total costs, if the candidates in `order` are all there are.

    A search ends before the trial that would leave too little for its confirmation, or without candidates. Its draws do
    not depend on the total, so that one serves all. Raises ValueError where not even one trial fits.
    """
    trials: list[ReplayedTrial] = []
    outcomes: list[ReplayOutcome] = []  # after each trial
    for trial in draw(strategy, pool, space=space, order=order, seed=seed):
        trials.append(trial)
        outcomes.append(conclude(strategy, pool, trials))
        if outcomes[-1].cost > max(budgets):
            break
    over = [[*(outcome.cost > budget for outcome in outcomes), True].index(True) for budget in budgets]
    if 0 in over:
        raise ValueError(f"{strategy.name}: one trial and its confirmation cost more than {min(budgets):.3g}")
    return [outcomes[index - 1] for index in over]


def draw(
    strategy: Strategy, pool: CandidatePool, *, space: Space, order: Sequence[int], seed: int
) -> Iterator[ReplayedTrial]:
    """The trials of a search that ends only where no candidates are left, each drawn when it is asked for."""
    left, lengths = list(order), _lengths(strategy, pool)
    study = ReplayedStudy(
        space.suggest, sampler=strategy.sampler, pruner=strategy.pruner, epochs=max(lengths), seed=seed
    )
    while left:
        # Random draws take the candidates in their order, and so do the first ones of TPE.
        in_order = strategy.sampler == "random" or len(order) - len(left) < STARTUP_TRIALS
        candidate = left[0] if in_order else pool.nearest(place(study.propose(), space), left)
        left.remove(candidate)
        scores = pool.scores[f"{lengths[candidate]}/A"][candidate].tolist()
        epochs = study.run(pool.stored[candidate], scores=scores)
        pruned, score = epochs < len(scores), scores[epochs - 1]
        yield ReplayedTrial(candidate=candidate, epochs=epochs, pruned=pruned, score=score)


def conclude(strategy: Strategy, pool: CandidatePool, trials: Sequence[ReplayedTrial]) -> ReplayOutcome:
    """Train what the strategy still wants of its best trials, then confirm: as `best --retrain` does."""
    # The best by the strategy's own last score are judged by a longer training, which costs nothing where it is paid
    # for; the result of the winner is 8 epochs of another seed, so that it was not chosen for its luck.
    complete = sorted((trial for trial in trials if not trial.pruned), key=lambda trial: -trial.score)
    ranked = [trial.candidate for trial in complete]
    wanted: set[tuple[int, int]] = set()  # candidate and epochs of further trainings
    if strategy.epochs == "rungs":
        for rung, epochs in enumerate(LENGTHS[1:], start=1):
            count = -(-len(ranked) // KEPT**rung)
            scores = pool.scores[f"{epochs}/A"][:, -1]
            ranked[:count] = sorted(ranked[:count], key=(-scores).__getitem__)
            wanted |= {(candidate, epochs) for candidate in ranked[:count]}
    best = ranked[: strategy.confirmed]
    wanted |= {(candidate, strategy.judged) for candidate in best}
    wanted -= {(trial.candidate, trial.epochs) for trial in complete}  # they are paid for
    cost = sum(trial.epochs * float(pool.epoch_cost[trial.candidate]) for trial in trials)
    cost += sum(epochs * float(pool.epoch_cost[candidate]) for candidate, epochs in wanted)
    winner = max(best, key=lambda candidate: float(pool.scores[f"{strategy.judged}/A"][candidate, -1]))
    result = float(pool.scores[f"{FULL}/B"][winner, -1])
    return ReplayOutcome(trials=len(trials), cost=cost, winner=winner, result=result)


def _lengths(strategy: Strategy, pool: CandidatePool) -> list[int]:
    """Epochs of each candidate's trial."""
    if strategy.epochs == "equal":
        fair = np.log(4 * np.median(pool.epoch_cost) / pool.epoch_cost)
        return [min(LENGTHS, key=lambda epochs: abs(np.log(epochs) - wanted)) for wanted in fair]
    epochs = LENGTHS[0] if strategy.epochs == "rungs" else int(strategy.epochs)
    return [epochs] * len(pool.stored)
