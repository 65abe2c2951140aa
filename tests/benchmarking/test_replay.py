"""Strategies replayed on made-up curves stay within the time, and are judged by what chose nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.benchmarking.candidate_pool import CHANCE, CurveTable, PoolEntry
from search.benchmarking.replay import (
    STRATEGIES,
    TIME,
    Strategy,
    correlations,
    error,
    interval,
    repeat,
    run_trials,
    search,
    summary,
)

OURS = STRATEGIES[-1]


def test_where_near_draws_are_better_ours_finds_one_and_beats_the_others(table: CurveTable) -> None:
    rows = summary(repeat(table, held_out=False, repetitions=20))
    assert [row["strategy"] for row in rows] == [strategy.name for strategy in STRATEGIES]
    *others, ours = rows
    assert all(float(str(row["low"])) > 0 for row in others)
    assert ours["ours is better by"] == ours["first recipe chosen"] == 0


def test_the_choice_is_judged_by_a_seed_that_chose_nothing(table: CurveTable) -> None:
    def unlucky(entry: PoolEntry) -> PoolEntry:
        curves = {name: replace(curve, accuracy=tuple(0.2 for _ in curve.accuracy)) if name.endswith("B") else curve
                  for name, curve in entry.curves.items()}  # fmt: skip
        return replace(entry, curves=curves)

    entries = [entry for entry in table.entries if entry.kind != "known"]
    known = [entry for entry in table.entries if entry.kind == "known"]
    one, other = (
        search(OURS, [*map(change, entries)], [*map(change, known)]) for change in (lambda entry: entry, unlucky)
    )
    assert one.chosen == other.chosen
    assert other.accuracy < one.accuracy


@pytest.mark.parametrize("strategy", STRATEGIES[1:], ids=[strategy.name for strategy in STRATEGIES[1:]])
def test_a_search_ends_with_its_share_of_the_time(table: CurveTable, strategy: Strategy) -> None:
    complete, tried = run_trials(strategy, table.entries)
    assert complete[0][0].number == 0, "the first one finds nobody to be compared with"
    assert len(complete) < tried < len(table.entries)
    dearest = max(entry.flops for entry in table.entries) / table.entries[0].flops
    assert strategy.trial * tried * dearest >= strategy.searching * TIME


def test_errors_between_two_lengths_follow_the_power_law_and_a_diverged_training_is_chance(table: CurveTable) -> None:
    entry = table.entries[7]
    assert error(entry, 60) == pytest.approx(error(entry, 1) * 60**-0.2)
    short = replace(entry, curves={**entry.curves, "128/B": replace(entry.curves["128/B"], accuracy=())})
    assert error(short, 128, seed="B") == pytest.approx(1 - CHANCE)
    assert set(correlations(table)) == {"1/A", "4/A", "16/A", "32/A", "128/A"}
    assert correlations(table)["16/A"][16] == pytest.approx(1)


def test_an_interval_holds_the_mean() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0] * 10)
    assert low < mean == 2 < high
