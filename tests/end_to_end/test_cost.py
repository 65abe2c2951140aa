"""A study with a second objective: the cost is made small beside the accuracy, and what is worth its cost is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from rich.console import Console
from tiny import MANIFEST, SHA256, check, database, starter, suggest

from search.console.tables import best_table, status_table
from search.inspecting.status import Status, best_json
from studies import StudyError
from studies.history import History, TrialRecord
from studies.storage import opened

COSTLY = replace(MANIFEST, cost="flops")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database(tmp_path)


def fill(url: str, rows: list[tuple[float, float]], *, trials: int | None = None) -> History:
    """A study whose trials have these accuracies and costs."""
    with starter(url)(manifest=COSTLY, trials=trials or len(rows), sampler="tpe") as study:
        for accuracy, flops in rows:
            asked = study.ask(suggest)
            assert asked is not None
            for epoch in range(1, COSTLY.epochs + 1):
                assert not study.report(asked.number, epoch=epoch, accuracy=accuracy)
            study.complete(asked.number, checkpoint=SHA256, violations={"flops": flops / 500 - 1}, flops=flops)
        return study.history()


def test_both_objectives_are_told_to_optuna(url: str) -> None:
    fill(url, [(0.5, 100.0), (0.7, 300.0)])
    with opened(url) as storage:
        study = optuna.load_study(study_name="tiny", storage=storage)
        assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
        assert [trial.values for trial in study.trials] == [[0.5, 100.0], [0.7, 300.0]]
        assert [trial.number for trial in study.best_trials] == [0, 1]
        assert study.trials[0].intermediate_values == {1: 0.5, 2: 0.5, 3: 0.5}


def test_its_records_are_true_and_it_goes_on_with_what_tpe_has_learned(url: str) -> None:
    fill(url, [(0.5 + trial / 100, 100.0 + trial) for trial in range(12)])
    fill(url, [(0.4, 50.0)] * 2, trials=14)
    assert check(url).finished == 14


def test_failures_do_not_keep_the_sampler_from_learning(url: str) -> None:
    with starter(url)(manifest=COSTLY, trials=14, sampler="tpe") as study:
        for number in range(14):
            asked = study.ask(suggest)
            assert asked is not None
            if number % 3 == 0:
                study.fail(asked.number, outcome="diverged", message="no number")
                continue
            for epoch in range(1, COSTLY.epochs + 1):
                study.report(asked.number, epoch=epoch, accuracy=0.5)
            study.complete(asked.number, checkpoint=SHA256, flops=float(number))
    assert check(url).counts["failed"] == 5


def test_the_front_has_what_is_worth_its_cost_and_nothing_else(url: str) -> None:
    rows = [(0.60, 100.0), (0.55, 120.0), (0.70, 120.0), (0.80, 400.0), (0.80, 300.0), (0.99, 501.0), (0.60, 100.0)]
    history = fill(url, rows)
    assert [trial.number for trial in history.front] == [0, 2, 4]  # 5 is over its limit, 6 a copy of 0
    assert history.best is not None
    assert history.best.number in (3, 4)


def test_the_front_is_shown_and_printed_as_json(url: str) -> None:
    history = fill(url, [(0.6, 100.0), (0.7, 200.0), (0.5, 300.0)])
    console = Console(width=120, record=True)
    console.print(status_table(Status(history=history, storage=url)))
    console.print(best_table(history))
    assert console.export_text().count("Pareto front: accuracy against flops") == 2
    assert best_json(history)["front"] == [
        {"number": 0, "validation_accuracy": 0.6, "flops": 100.0},
        {"number": 1, "validation_accuracy": 0.7, "flops": 200.0},
    ]


def test_a_study_of_one_objective_has_no_front(url: str) -> None:
    with starter(url)(trials=1) as study:
        history = study.history()
    assert history.front == ()
    assert all(isinstance(trial, TrialRecord) for trial in history.top(3))


def test_pruning_is_refused_with_the_two_ways_out(url: str) -> None:
    with pytest.raises(StudyError, match=r"cannot prune .* two objectives.*--pruner none.*constraints: \{flops: \{max"):
        starter(url)(manifest=COSTLY, pruner="median")


def test_a_study_does_not_go_on_with_another_cost(url: str) -> None:
    fill(url, [(0.5, 100.0)])
    with pytest.raises(StudyError, match="cost: flops -> None"):
        starter(url)()
