"""How much is trained for a decision: as much evidence as fits the time, and what a person asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tiny import MANIFEST

from search.planning.confirmation import check_complete, contenders
from search.planning.decision_plan import make_plan, makespan
from search.planning.forecast import EVALUATION, VALIDATION
from studies import StudyError
from studies.history import History, TrialRecord


def trial(number: int, *, seconds: float = 1.0, baseline: str | None = None) -> TrialRecord:
    """The later a trial, the better it is."""
    fields: dict[str, Any] = {
        "number": number, "state": "complete", "values": {}, "accuracy": number / 10, "outcome": None, "message": None,
        "epochs": (), "curve": (), "seed": 1, "baseline": baseline, "violations": {}, "started": None, "seconds": 10.0,
        "attributes": {"flops": 10**6, "seconds_per_epoch": seconds},
    }  # fmt: skip
    return TrialRecord(**fields)


def history(*trials: TrialRecord, images: int | None = None) -> History:
    manifest = replace(MANIFEST, epochs=4, retrain_epochs=16, images=images)
    return History(study="tiny", manifest=manifest, planned=len(trials), trials=trials)


def timed(seconds: float, *, images: int | None = None) -> History:
    """Four trials, each epoch of which took so long."""
    return history(*(trial(number, seconds=seconds) for number in range(4)), images=images)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1.0, (4, 2, 3, 16)),
        (20.0, (4, 2, 1, 16)),
        (30.0, (4, 1, 1, 16)),
        (40.0, (2, 1, 1, 16)),
        (60.0, (2, 1, 1, 14)),
        (1000.0, (2, 1, 1, 4)),
    ],
)
def test_the_plan_is_the_most_thorough_that_fits(seconds: float, expected: tuple[int, int, int, int]) -> None:
    plan = make_plan(timed(seconds), images=1800, slots=2, minutes=15)
    assert (len(plan.trials), plan.confirm_seeds, plan.seeds, plan.epochs) == expected
    assert plan.seconds <= 15 * 60 or seconds == 1000.0  # the shortest plan of all is kept, however slow


def test_what_is_asked_for_is_kept_however_long_it_takes() -> None:
    plan = make_plan(timed(100.0), images=1800, slots=1, minutes=1, epochs=40, seeds=5, candidates=2, confirm_seeds=3)
    assert (len(plan.trials), plan.confirm_seeds, plan.seeds, plan.epochs) == (2, 3, 5, 40)
    assert plan.title == (
        "confirm trials 3, 2 with 3 fresh seeds each, 20 epochs long, retrain the winner with 5, 40 epochs long"
    )


def test_trials_on_a_quarter_of_the_images_forecast_what_all_images_take() -> None:
    whole, quarter = (make_plan(timed(10.0, images=part), images=1800, slots=1, minutes=1e6) for part in (None, 450))
    whole_epochs, quarter_epochs = 1 + EVALUATION * VALIDATION, 1 / 4 + EVALUATION * VALIDATION
    assert quarter.seconds == pytest.approx(whole.seconds * whole_epochs / quarter_epochs)


def test_the_first_baseline_is_always_confirmed() -> None:
    names = ["first", "second", None, None, None]
    study = history(*(trial(number, baseline=name) for number, name in enumerate(names)))
    without = replace(study, trials=study.trials[2:])
    assert [trial.number for trial in contenders(study, 3)] == [4, 3, 0]
    assert [trial.number for trial in contenders(study, 5)] == [4, 3, 2, 1, 0]
    assert [trial.number for trial in contenders(study, 1)] == [4]
    assert [trial.number for trial in contenders(without, 3)] == [4, 3, 2]
    with pytest.raises(StudyError, match="no complete trial"):
        check_complete(history())


@pytest.mark.parametrize(
    ("costs", "slots", "expected"),
    [([6.0], 1, 6.0), ([6.0], 2, 3.0), ([6.0, 2.0], 2, 6.0), ([2.0, 2.0, 6.0], 2, 6.0), ([3.0] * 3, 2, 6.0)],
)
def test_the_time_of_jobs_side_by_side_is_that_of_the_last_to_end(
    costs: list[float], slots: int, expected: float
) -> None:
    assert makespan(costs, slots=slots) == pytest.approx(expected)
