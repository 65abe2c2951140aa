"""Strategies replayed on a table of made-up curves pay for what they train, and are judged by what chose nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

from search.benchmarking import record
from search.benchmarking.candidate_pool import CHANCE, Pool
from search.benchmarking.curves import LENGTHS, SCHEDULES, SPACE, Curve, Entry, Setting, Table, length, load
from search.benchmarking.replay import interval, noise, rows
from search.benchmarking.strategies import STRATEGIES, Outcome, Strategy, Trial, conclude, draw, search
from search.data.sources import Source
from search.planning.catalogue import load as load_space
from spaces import Space
from spaces.parameter import Float, Parameter

SOURCE = Source(kind="synthetic", folder=None)
SETTING = Setting(images=100, validation=5000, split="", space="", precision="float32")
SIZE = 24
EVERYTHING = 1e12

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=[strategy.name for strategy in STRATEGIES])


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space(str(SPACE))


@pytest.fixture(scope="module")
def table(space: Space) -> Table:
    rng = np.random.default_rng(0)
    entries = {}
    for number in range(SIZE):
        values = space.sample(Random(number))
        ends = {schedule: 0.5 + 0.01 * length(schedule) + 0.1 * rng.random() for schedule in SCHEDULES}
        curves = {schedule: _curve([end * (1 + epoch) / length(schedule) for epoch in range(length(schedule))])
                  for schedule, end in ends.items()}  # fmt: skip
        entries[number] = Entry(values=values, flops=int(rng.integers(5, 20)), curves=curves)
    return Table(setting=SETTING, entries=entries)


@pytest.fixture(scope="module")
def pool(table: Table, space: Space) -> Pool:
    return Pool.of(table, space)


def _curve(accuracy: Sequence[float]) -> Curve:
    return Curve(accuracy=tuple(accuracy), loss=(1.0,) * len(accuracy), steps=len(accuracy), seconds=1.0)


def _trained(tasks: Sequence[record.Task]) -> Iterator[tuple[record.Task, Curve]]:
    return ((task, _curve([0.5] * length(task.schedule))) for task in tasks)


def _recorded(path: Path, space: Space, work: record.Work, *, candidates: int = 2) -> Iterable[record.Task]:
    return record.record(path, space=space, source=SOURCE, setting=SETTING, candidates=candidates, work=work)


@each_strategy
def test_no_strategy_spends_more_than_it_has(strategy: Strategy, pool: Pool, space: Space) -> None:
    budgets = [float(pool.epoch_cost.mean()) * epochs for epochs in (40, 120)]

    outcomes = search(strategy, pool, space=space, order=range(SIZE), budgets=budgets, seed=0)

    assert all(outcome.cost <= budget for outcome, budget in zip(outcomes, budgets, strict=True))
    assert outcomes[0].trials < outcomes[1].trials


@each_strategy
def test_the_winner_is_judged_by_the_seed_that_chose_nothing(strategy: Strategy, pool: Pool, space: Space) -> None:
    [outcome] = search(strategy, pool, space=space, order=range(12), budgets=[EVERYTHING], seed=0)

    assert outcome.result == pool.scores["8/B"][outcome.winner, -1]
    unlucky = replace(pool, scores={**pool.scores, "8/B": 0 * pool.scores["8/B"]})
    [again] = search(strategy, unlucky, space=space, order=range(12), budgets=[EVERYTHING], seed=0)
    assert again.winner == outcome.winner
    assert again.result == 0


@each_strategy
def test_no_candidate_is_drawn_twice_or_left_out(strategy: Strategy, pool: Pool, space: Space) -> None:
    order = list(range(1, SIZE, 2))

    trials = list(draw(strategy, pool, space=space, order=order, seed=0))

    assert sorted(trial.candidate for trial in trials) == order


def test_a_pruned_trial_pays_only_for_the_epochs_that_it_ran(pool: Pool) -> None:
    strategy = Strategy(sampler="random", epochs="8", pruner="median")
    whole = [Trial(candidate=number, length=8, epochs=8, score=0.5) for number in range(3)]

    outcome = conclude(strategy, pool, [*whole, Trial(candidate=3, length=8, epochs=3, score=0.9)])

    assert outcome.cost == pytest.approx(8 * pool.epoch_cost[:3].sum() + 3 * pool.epoch_cost[3])
    assert outcome.winner != 3


def test_poor_candidates_are_pruned_before_their_end(pool: Pool, space: Space) -> None:
    poor = pool.scores["8/A"].copy()
    poor[SIZE // 2 :] = CHANCE

    trials = list(
        draw(
            Strategy(sampler="random", epochs="8", pruner="median"),
            replace(pool, scores={**pool.scores, "8/A": poor}),
            space=space,
            order=range(SIZE),
            seed=0,
        )
    )

    assert not any(trial.pruned for trial in trials[:5])
    assert {trial.epochs for trial in trials[SIZE // 2 :]} == {3}  # 30 % of 8 epochs, rounded up


def test_a_confirmation_is_paid_for_only_where_it_was_not_the_trial(pool: Pool) -> None:
    def cost(epochs: int) -> float:
        trials = [Trial(candidate=number, length=epochs, epochs=epochs, score=0.5) for number in range(3)]
        return conclude(Strategy(sampler="random", epochs="8"), pool, trials).cost / pool.epoch_cost[:3].sum()

    assert cost(8) == pytest.approx(8)
    assert cost(4) == pytest.approx(4 + 8)


def test_rungs_train_the_best_third_longer_and_the_best_ninth_longest(pool: Pool) -> None:
    even = replace(pool, epoch_cost=np.ones(SIZE))
    trials = [Trial(candidate=number, length=2, epochs=2, score=1 - number / 100) for number in range(18)]

    outcome = conclude(Strategy(sampler="random", epochs="rungs"), even, trials)

    third = sorted(range(6), key=lambda number: -even.scores["4/A"][number, -1])
    confirmed = third[:3]  # two of them on the highest rung
    assert outcome.cost == 2 * 18 + 4 * 6 + 8 * 3
    assert outcome.winner == max(confirmed, key=lambda number: even.scores["8/A"][number, -1])


def test_with_equal_compute_a_small_network_trains_longer(pool: Pool, space: Space) -> None:
    costs = np.full(SIZE, 10.0)
    costs[0], costs[1] = 5.0, 20.0

    trials = draw(
        Strategy(sampler="random", epochs="equal"),
        replace(pool, epoch_cost=costs),
        space=space,
        order=range(SIZE),
        seed=0,
    )

    assert [trial.epochs for trial in trials][:3] == [8, 2, 4]


def test_tpe_learns_from_the_candidates_that_were_trained(pool: Pool) -> None:
    rate = Parameter("recipe.learning_rate", Float(1.0, 100.0, log=True))
    space = Space(name="", source="", description="", family="", length=None, parameters=(rate,))
    places = np.random.default_rng(0).permutation(60) / 60  # of the logarithm of the rate: the lower, the better
    known = Pool(
        stored=tuple({rate.name: float(100.0**place)} for place in places),
        places=places[:, None],
        epoch_cost=np.ones(60),
        scores={**pool.scores, "2/A": 1 - np.tile(places[:, None], 2)},
    )

    trials = draw(Strategy(sampler="tpe", epochs="2"), known, space=space, order=range(60), seed=0)

    tried = [places[trial.candidate] for trial in islice(trials, 20)]
    assert tried[:10] == places[:10].tolist()
    assert np.mean(tried[10:]) < 0.25  # 0.5 without learning


def test_a_total_too_small_for_one_trial_is_refused(pool: Pool, space: Space) -> None:
    with pytest.raises(ValueError, match="one trial and its confirmation cost more"):
        search(STRATEGIES[0], pool, space=space, order=[0], budgets=[1.0], seed=0)


def test_a_training_that_diverged_answers_at_chance(table: Table, space: Space) -> None:
    entry = table.entries[0]
    entries = {0: replace(entry, curves={**entry.curves, "4/A": _curve([0.3])})}

    pool = Pool.of(replace(table, entries=entries), space)

    assert pool.scores["4/A"][0].tolist() == [0.3, CHANCE, CHANCE, CHANCE]


def test_the_place_of_a_candidate_is_nearest_to_itself(pool: Pool) -> None:
    found = [pool.nearest(pool.places[number].tolist(), range(SIZE)) for number in range(SIZE)]

    assert found == list(range(SIZE))
    assert pool.places.min() >= 0
    assert pool.places.max() <= 1


def test_a_resumed_recording_trains_nothing_twice(tmp_path: Path, space: Space) -> None:
    path, asked = tmp_path / "curves.json", []

    def work(tasks: Sequence[record.Task]) -> Iterator[tuple[record.Task, Curve]]:
        asked.append([(task.candidate, task.schedule) for task in tasks])
        return _trained(tasks)

    interrupted = iter(_recorded(path, space, work))
    for _ in range(3):
        next(interrupted)
    list(_recorded(path, space, work))
    list(_recorded(path, space, work))

    assert asked[0][3:] == asked[1]
    assert asked[2] == []
    assert [entry.complete for entry in load(path).entries.values()] == [True, True]


def test_a_recording_of_another_setting_is_refused(tmp_path: Path, space: Space) -> None:
    path = tmp_path / "curves.json"
    Table(setting=replace(SETTING, images=7), entries={}).save(path)

    with pytest.raises(ValueError, match="was recorded with"):
        list(_recorded(path, space, _trained))


def test_a_recording_reads_as_it_was_written(tmp_path: Path, table: Table) -> None:
    table.save(tmp_path / "curves.json")

    assert load(tmp_path / "curves.json") == table


def test_a_strategy_is_compared_with_the_reference_in_the_same_repetitions() -> None:
    def outcomes(result: float) -> list[Outcome]:
        return [Outcome(trials=6, cost=1.0, winner=0, result=result)] * 3

    names = [strategy.name for strategy in STRATEGIES]
    first = dict.fromkeys(names, outcomes(0.6)) | {"random, 8 epochs": outcomes(0.7)}
    second = {name: outcomes(0.1) for name in names if name.startswith("random")}  # TPE is repeated less often

    found = {row.strategy: row for row in rows([first, second], candidates=12) if row.share == 1}

    row = found["random, 8 epochs"]
    assert (row.repetitions, row.better, row.tried) == (2, 1.0, 0.5)
    assert row.mean == pytest.approx(40)
    assert row.difference == pytest.approx(10)
    assert found["random, 4 epochs"].equal == 1


def test_the_interval_of_a_mean_holds_it() -> None:
    values = np.random.default_rng(1).normal(3, 1, 100)

    low, high = interval(values)

    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)


def test_a_score_that_orders_as_the_other_seed_does_has_a_rank_correlation_of_one(pool: Pool) -> None:
    exact = replace(pool, scores={**pool.scores, "8/B": pool.scores["8/A"]})

    facts = noise(exact, [False] * (SIZE - 2) + [True] * 2)

    assert facts.seed_sd_percent["all"] == 0
    assert facts.correlations["8/A"]["all"][-1] == pytest.approx(1)
    assert facts.correlations["8/A"]["averaged"][-1] is None  # two candidates have no order to speak of
    assert set(facts.correlations) == {f"{epochs}/A" for epochs in LENGTHS}
