"""Strategies replayed on a table of made-up curves pay for what they train, and are judged by what chose nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from search.benchmarking.candidate_pool import CHANCE, CandidatePool
from search.benchmarking.strategies import STRATEGIES, ReplayedTrial, Strategy, conclude, draw, search
from spaces import Space
from spaces.parameter import Float, Parameter

SIZE = 24  # of the pool
EVERYTHING = 1e12

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=[strategy.name for strategy in STRATEGIES])


@each_strategy
def test_a_strategy_draws_each_candidate_once_and_spends_no_more_than_it_has(
    strategy: Strategy, pool: CandidatePool, space: Space
) -> None:
    order = list(range(1, SIZE, 2))
    trials = list(draw(strategy, pool, space=space, order=order, seed=0))
    assert sorted(trial.candidate for trial in trials) == order
    budgets = [float(pool.epoch_cost.mean()) * epochs for epochs in (40, 120)]
    outcomes = search(strategy, pool, space=space, order=range(SIZE), budgets=budgets, seed=0)
    assert all(outcome.cost <= budget for outcome, budget in zip(outcomes, budgets, strict=True))
    assert outcomes[0].trials < outcomes[1].trials


@each_strategy
def test_the_winner_is_judged_by_the_seed_that_chose_nothing(
    strategy: Strategy, pool: CandidatePool, space: Space
) -> None:
    unlucky = replace(pool, scores={**pool.scores, "8/B": 0 * pool.scores["8/B"]})
    [outcome], [again] = (
        search(strategy, each, space=space, order=range(12), budgets=[EVERYTHING], seed=0) for each in (pool, unlucky)
    )
    assert outcome.result == pool.scores["8/B"][outcome.winner, -1]
    assert (again.winner, again.result) == (outcome.winner, 0)


def trials_of(*candidates: int, epochs: int) -> list[ReplayedTrial]:
    return [
        ReplayedTrial(candidate=number, epochs=epochs, pruned=False, score=1 - number / 100) for number in candidates
    ]


def test_a_pruned_trial_pays_only_for_the_epochs_that_it_ran(pool: CandidatePool) -> None:
    trials = [*trials_of(0, 1, 2, epochs=8), ReplayedTrial(candidate=3, epochs=3, pruned=True, score=2.0)]
    outcome = conclude(Strategy("random", "8", "median"), pool, trials)
    assert outcome.cost == pytest.approx(8 * pool.epoch_cost[:3].sum() + 3 * pool.epoch_cost[3])
    assert outcome.winner != 3


def test_poor_candidates_are_pruned_before_their_end(pool: CandidatePool, space: Space) -> None:
    poor = pool.scores["8/A"].copy()
    poor[SIZE // 2 :] = CHANCE
    known = replace(pool, scores={**pool.scores, "8/A": poor})
    trials = list(draw(Strategy("random", "8", "median"), known, space=space, order=range(SIZE), seed=0))
    assert not any(trial.pruned for trial in trials[:5])
    assert {trial.epochs for trial in trials[SIZE // 2 :]} == {3}  # 30 % of 8 epochs, rounded up


def test_a_confirmation_is_paid_for_only_where_it_was_not_the_trial(pool: CandidatePool) -> None:
    def cost(epochs: int) -> float:
        trials = trials_of(0, 1, 2, epochs=epochs)
        return conclude(Strategy("random", "8"), pool, trials).cost / pool.epoch_cost[:3].sum()

    assert cost(8) == pytest.approx(8)
    assert cost(4) == pytest.approx(4 + 8)


def test_rungs_train_the_best_third_longer_and_the_best_ninth_longest(pool: CandidatePool) -> None:
    even = replace(pool, epoch_cost=np.ones(SIZE))
    outcome = conclude(Strategy("random", "rungs"), even, trials_of(*range(18), epochs=2))
    third = sorted(range(6), key=lambda number: -even.scores["4/A"][number, -1])
    confirmed = third[:3]  # two of them on the highest rung
    assert outcome.cost == 2 * 18 + 4 * 6 + 8 * 3
    assert outcome.winner == max(confirmed, key=lambda number: even.scores["8/A"][number, -1])


def test_with_equal_compute_a_small_network_trains_longer(pool: CandidatePool, space: Space) -> None:
    costs = np.full(SIZE, 10.0)
    costs[0], costs[1] = 5.0, 20.0
    known = replace(pool, epoch_cost=costs)
    trials = draw(Strategy("random", "equal"), known, space=space, order=range(SIZE), seed=0)
    assert [trial.epochs for trial in trials][:3] == [8, 2, 4]


def test_tpe_learns_from_the_candidates_that_were_trained(pool: CandidatePool) -> None:
    rate = Parameter("recipe.learning_rate", Float(1.0, 100.0, log=True))
    space = Space(name="", source="", description="", family="", length=None, parameters=(rate,))
    places = np.random.default_rng(0).permutation(60) / 60  # of the logarithm of the rate: the lower, the better
    known = CandidatePool(
        stored=tuple({rate.name: float(100.0**place)} for place in places),
        places=places[:, None],
        epoch_cost=np.ones(60),
        scores={**pool.scores, "2/A": 1 - np.tile(places[:, None], 2)},
    )
    trials = draw(Strategy("tpe", "2"), known, space=space, order=range(60), seed=0)
    tried = [places[trial.candidate] for trial in islice(trials, 20)]
    assert tried[:10] == places[:10].tolist()
    assert np.mean(tried[10:]) < 0.25  # 0.5 without learning


def test_a_total_too_small_for_one_trial_is_refused(pool: CandidatePool, space: Space) -> None:
    with pytest.raises(ValueError, match="one trial and its confirmation cost more"):
        search(STRATEGIES[0], pool, space=space, order=[0], budgets=[1.0], seed=0)
