"""The replay compares strategies in the same repetitions, and says what the scores of a pool are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search.benchmarking.candidate_pool import LENGTHS, CandidatePool
from search.benchmarking.replay import interval, noise, summaries
from search.benchmarking.strategies import STRATEGIES, ReplayOutcome


def test_a_strategy_is_compared_with_the_reference_in_the_same_repetitions() -> None:
    def outcomes(result: float) -> list[ReplayOutcome]:
        return [ReplayOutcome(trials=6, cost=1.0, winner=0, result=result)] * 3

    names = [strategy.name for strategy in STRATEGIES]
    first = dict.fromkeys(names, outcomes(0.6)) | {"random, 8 epochs": outcomes(0.7)}
    second = {name: outcomes(0.1) for name in names if name.startswith("random")}  # TPE is repeated less often
    found = {row.strategy: row for row in summaries([first, second], candidates=12) if row.share == 1}
    row = found["random, 8 epochs"]
    assert (row.repetitions, row.better, row.tried) == (2, 1.0, 0.5)
    assert row.mean == pytest.approx(40)
    assert row.difference == pytest.approx(10)
    assert found["random, 4 epochs"].equal == 1


def test_the_interval_of_a_mean_holds_it() -> None:
    values = np.random.default_rng(1).normal(3, 1, 100)
    mean, low, high = interval(values)
    assert low < mean == values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)


def test_a_score_that_orders_as_the_other_seed_does_has_a_rank_correlation_of_one(pool: CandidatePool) -> None:
    averaging = [{**values, "recipe.averaging": index < 2} for index, values in enumerate(pool.stored)]
    exact = replace(pool, scores={**pool.scores, "8/B": pool.scores["8/A"]}, stored=tuple(averaging))
    facts = noise(exact)
    assert facts["seed_sd_percent"]["all"] == 0
    assert facts["correlations"]["8/A"]["all"][-1] == pytest.approx(1)
    assert facts["correlations"]["8/A"]["averaged"][-1] is None  # two candidates have no order to speak of
    assert set(facts["correlations"]) == {f"{epochs}/A" for epochs in LENGTHS}
