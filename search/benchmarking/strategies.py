"""Strategies that search a pool under one total cost, each ended by the confirmation of its best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState, create_trial

from search.benchmarking.candidate_pool import Pool, place
from search.benchmarking.curves import LENGTHS
from spaces import Space
from studies.pruners import make_pruner
from studies.samplers import STARTUP_TRIALS, make_sampler

TRIALS = 50  # of the study whose defaults are asked for: they set what sampler and pruner count as their start
FULL = LENGTHS[-1]  # epochs of the final training
KEPT = 3  # one candidate in so many rises to the next rung

Sampler = Literal["random", "tpe"]
Epochs = Literal["2", "4", "8", "rungs", "equal"]
Pruner = Literal["none", "median"]


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How candidates are drawn, and how long each is trained.

    `rungs` trains all for 2 epochs, the best third of them for 4 and the best ninth for 8, each time from the start
    with a complete schedule. `equal` gives a network the length at which it costs nearest to 4 epochs of the median.
    """

    sampler: Sampler
    epochs: Epochs
    pruner: Pruner = "none"
    confirmed: int = 3  # candidates
    judged: int = FULL  # epochs of each one's confirmation

    @property
    def name(self) -> str:
        kind = f"{self.epochs} epochs" if self.epochs.isdigit() else self.epochs
        pruned = f", {self.pruner}" if self.pruner != "none" else ""
        other = f", {self.confirmed} confirmed by {self.judged}" if self.judged != FULL else ""
        return f"{self.sampler}, {kind}{pruned}{other}"


_WAYS: tuple[tuple[Epochs, Pruner], ...] = (
    ("2", "none"), ("4", "none"), ("8", "none"), ("2", "median"), ("4", "median"), ("8", "median"), ("rungs", "none"),
    ("equal", "none"),
)  # fmt: skip
_SAMPLERS: tuple[Sampler, ...] = ("random", "tpe")

STRATEGIES = (
    *(Strategy(sampler=sampler, epochs=epochs, pruner=pruner) for epochs, pruner in _WAYS for sampler in _SAMPLERS),
    *(Strategy(sampler=sampler, epochs="2", confirmed=6, judged=4) for sampler in _SAMPLERS),
    *(Strategy(sampler=sampler, epochs="2", confirmed=3, judged=4) for sampler in _SAMPLERS),
    *(Strategy(sampler=sampler, epochs="2", pruner="median", confirmed=3, judged=4) for sampler in _SAMPLERS),
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of the search."""

    candidate: int  # its index in the pool
    length: int  # epochs of its schedule
    epochs: int  # that it ran: fewer where it was pruned
    score: float  # after the last of them

    @property
    def pruned(self) -> bool:
        return self.epochs < self.length


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a search came to."""

    trials: int
    cost: float  # confirmation included
    winner: int  # index in the pool
    result: float  # the winner's accuracy with a seed that chose nothing


def search(
    strategy: Strategy, pool: Pool, *, space: Space, order: Sequence[int], budgets: Sequence[float], seed: int
) -> list[Outcome]:
    """What the strategy comes to under each of these total costs, if the candidates in `order` are all there are.

    A search ends before the trial that would leave too little for its confirmation, or without candidates. Its draws do
    not depend on the total, so that one serves all. Raises ValueError where not even one trial fits.
    """
    done: list[Trial] = []
    ended: Outcome | None = None
    found: dict[float, Outcome] = {}
    for trial in draw(strategy, pool, space=space, order=order, seed=seed):
        done.append(trial)
        outcome = conclude(strategy, pool, done)
        for budget in budgets:
            if budget not in found and outcome.cost > budget:
                if ended is None:
                    raise ValueError(f"{strategy.name}: one trial and its confirmation cost more than {budget:.3g}")
                found[budget] = ended
        if len(found) == len(set(budgets)):
            break
        ended = outcome
    assert ended is not None, "a pool has candidates"
    return [found.get(budget, ended) for budget in budgets]


def draw(strategy: Strategy, pool: Pool, *, space: Space, order: Sequence[int], seed: int) -> Iterator[Trial]:
    """The trials of a search without an end but that of the candidates, each drawn when it is asked for.

    Random draws take the candidates in their order, and so do the first ones of TPE.
    """
    left, lengths = list(order), _lengths(strategy, pool)
    if strategy.sampler == "random" and strategy.pruner == "none":
        for candidate in left:
            score = float(pool.scores[f"{lengths[candidate]}/A"][candidate, -1])
            yield Trial(candidate=candidate, length=lengths[candidate], epochs=lengths[candidate], score=score)
        return
    study = Replayed(strategy, pool, space=space, epochs=max(lengths), seed=seed)
    while left:
        begins = strategy.sampler == "random" or len(order) - len(left) < STARTUP_TRIALS
        candidate = left[0] if begins else pool.nearest(study.proposed(), left)
        left.remove(candidate)
        yield study.run(candidate, length=lengths[candidate])


class Replayed:
    """A study of Optuna's in memory that learns from trainings of the pool."""

    def __init__(self, strategy: Strategy, pool: Pool, *, space: Space, epochs: int, seed: int) -> None:
        sampler = make_sampler(strategy.sampler, seed=seed, trials=TRIALS, conditional=space.has_conditions)
        self._pool, self._space = pool, space
        self._pruner = make_pruner(strategy.pruner, trials=TRIALS, epochs=epochs)
        self._study = optuna.create_study(direction="maximize", sampler=sampler, pruner=self._pruner)
        self._distributions: dict[str, BaseDistribution] = {}
        self.proposed()

    def proposed(self) -> list[float]:
        """The place that the sampler would try next; what is tried is told by `run`."""
        asked = self._study.ask()
        values = self._space.suggest(asked)
        self._distributions = asked.distributions
        self._study.tell(asked, state=TrialState.FAIL)  # which no sampler looks at
        return place(values, self._space)

    def run(self, candidate: int, *, length: int) -> Trial:
        """Train a candidate, prune it where the pruner says so, and tell the study."""
        scores = dict(enumerate(self._pool.scores[f"{length}/A"][candidate].tolist(), start=1))
        trial = self._stopped(candidate, scores)
        state = TrialState.PRUNED if trial.pruned else TrialState.COMPLETE
        self._study.add_trial(self._frozen(candidate, scores, epochs=trial.epochs, state=state))
        return trial

    def _stopped(self, candidate: int, scores: dict[int, float]) -> Trial:
        running = self._frozen(candidate, scores, epochs=0, state=TrialState.RUNNING)
        for epoch, score in scores.items():
            running.intermediate_values[epoch] = score
            if epoch == len(scores) or self._pruner.prune(self._study, running):
                return Trial(candidate=candidate, length=len(scores), epochs=epoch, score=score)
        raise AssertionError("a schedule has epochs")

    def _frozen(
        self, candidate: int, scores: dict[int, float], *, epochs: int, state: TrialState
    ) -> optuna.trial.FrozenTrial:
        return create_trial(
            state=state,
            value=scores[epochs] if epochs else None,
            params=dict(self._pool.stored[candidate]),
            distributions=self._distributions,
            intermediate_values={epoch: score for epoch, score in scores.items() if epoch <= epochs},
        )


def conclude(strategy: Strategy, pool: Pool, trials: Sequence[Trial]) -> Outcome:
    """Train what the strategy still wants of its best trials, then confirm: as `best --retrain` does.

    The best by the strategy's own last score are judged by a longer training, which costs nothing where it is paid for;
    the result of the winner is 8 epochs of another seed, so that it was not chosen for its luck.
    """
    paid = {(trial.candidate, trial.length) for trial in trials if not trial.pruned}
    cost = sum(trial.epochs * float(pool.epoch_cost[trial.candidate]) for trial in trials)
    complete = sorted((trial for trial in trials if not trial.pruned), key=lambda trial: -trial.score)
    ranked = [trial.candidate for trial in complete]
    wanted: list[tuple[int, int]] = []
    if strategy.epochs == "rungs":
        ranked, wanted = _climb(pool, ranked)
    best = ranked[: strategy.confirmed]
    wanted += [(candidate, strategy.judged) for candidate in best]
    cost += sum(epochs * float(pool.epoch_cost[candidate]) for candidate, epochs in {*wanted} - paid)
    winner = max(best, key=lambda candidate: float(pool.scores[f"{strategy.judged}/A"][candidate, -1]))
    return Outcome(trials=len(trials), cost=cost, winner=winner, result=float(pool.scores[f"{FULL}/B"][winner, -1]))


def _climb(pool: Pool, ranked: list[int]) -> tuple[list[int], list[tuple[int, int]]]:
    """The candidates by their highest rung and their score there, and the trainings of the upper rungs."""
    trained: list[tuple[int, int]] = []
    for rung, epochs in enumerate(LENGTHS[1:], start=1):
        count = -(-len(ranked) // KEPT**rung)
        scores = pool.scores[f"{epochs}/A"][:, -1]
        ranked = sorted(ranked[:count], key=lambda candidate: -float(scores[candidate])) + ranked[count:]
        trained += [(candidate, epochs) for candidate in ranked[:count]]
    return ranked, trained


def _lengths(strategy: Strategy, pool: Pool) -> list[int]:
    """Epochs of each candidate's trial."""
    if strategy.epochs == "rungs":
        return [LENGTHS[0]] * len(pool)
    if strategy.epochs != "equal":
        return [int(strategy.epochs)] * len(pool)
    fair = np.log(4 * np.median(pool.epoch_cost) / pool.epoch_cost)
    return [min(LENGTHS, key=lambda epochs: abs(np.log(epochs) - wanted)) for wanted in fair]
