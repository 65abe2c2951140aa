"""A study with a second objective: the cost is made small beside the accuracy, and what is worth its cost is shown."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from rich.console import Console
from tiny import MANIFEST, Start, ask, check, finish

from search.console.tables import best_table, status_table
from search.inspecting.status import Status, best_json
from studies import StudyError
from studies.history import History
from studies.storage import opened

COSTLY = replace(MANIFEST, cost="flops")


def fill(start: Start, rows: list[tuple[float, float]], *, trials: int | None = None) -> History:
    """A study whose trials have these accuracies and costs."""
    with start(manifest=COSTLY, trials=trials or len(rows), sampler="tpe") as study:
        for accuracy, flops in rows:
            finish(study, ask(study), accuracy=accuracy, violations={"flops": flops / 500 - 1}, flops=flops)
        return study.history()


def test_both_objectives_are_told_to_optuna(start: Start, url: str) -> None:
    fill(start, [(0.5, 100.0), (0.7, 300.0)])
    with opened(url) as storage:
        study = optuna.load_study(study_name="tiny", storage=storage)
        assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
        assert [trial.values for trial in study.trials] == [[0.5, 100.0], [0.7, 300.0]]
        assert [trial.number for trial in study.best_trials] == [0, 1]
        assert study.trials[0].intermediate_values == {1: 0.5, 2: 0.5, 3: 0.5}


def test_its_records_are_true_and_it_goes_on_with_what_tpe_has_learned(start: Start, url: str) -> None:
    fill(start, [(0.5 + trial / 100, 100.0 + trial) for trial in range(12)])
    fill(start, [(0.4, 50.0)] * 2, trials=14)
    assert check(url).finished == 14


def test_failures_do_not_keep_the_sampler_from_learning(start: Start, url: str) -> None:
    with start(manifest=COSTLY, trials=14, sampler="tpe") as study:
        for number in range(14):
            asked = ask(study)
            if number % 3 == 0:
                study.fail(asked.number, outcome="diverged", message="no number")
            else:
                finish(study, asked, accuracy=0.5, flops=float(number))
    assert check(url).counts["failed"] == 5


def test_the_front_has_what_is_worth_its_cost_and_nothing_else(start: Start) -> None:
    rows = [(0.60, 100.0), (0.55, 120.0), (0.70, 120.0), (0.80, 400.0), (0.80, 300.0), (0.99, 501.0), (0.60, 100.0)]
    history = fill(start, rows)
    assert [trial.number for trial in history.front] == [0, 2, 4]  # 5 is over its limit, 6 a copy of 0
    assert history.best in history.trials[3:5]


def test_the_front_is_shown_and_printed_as_json(start: Start, url: str) -> None:
    history = fill(start, [(0.6, 100.0), (0.7, 200.0), (0.5, 300.0)])
    console = Console(width=120, record=True)
    console.print(status_table(Status(history=history, storage=url)))
    console.print(best_table(history))
    assert console.export_text().count("Pareto front: accuracy against flops") == 2
    assert best_json(history)["front"] == [
        {"number": 0, "validation_accuracy": 0.6, "flops": 100.0},
        {"number": 1, "validation_accuracy": 0.7, "flops": 200.0},
    ]


def test_a_study_of_one_objective_has_no_front(start: Start) -> None:
    with start(trials=1) as study:
        history = study.history()
    assert history.front == ()


def test_pruning_is_refused_with_the_two_ways_out(start: Start) -> None:
    ways_out = r"cannot prune .* two objectives.*--pruner none.*constraints: \{flops: \{max"
    with pytest.raises(StudyError, match=ways_out), start(manifest=COSTLY, pruner="median"):
        pass


def test_a_study_does_not_go_on_with_another_cost(start: Start) -> None:
    fill(start, [(0.5, 100.0)])
    with pytest.raises(StudyError, match="cost: flops -> none"), start():
        pass
