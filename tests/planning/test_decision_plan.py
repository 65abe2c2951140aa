"""How much is trained for a decision: as much evidence as fits the time, and what a person asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import MANIFEST

from search.planning.confirmation import check_complete, contenders
from search.planning.decision_plan import ALONE, make_plan, makespan
from search.planning.forecast import EVALUATION, VALIDATION
from studies import StudyError
from studies.history import History, TrialRecord


def trial(
    number: int, *, seconds: float = 1.0, flops: int = 10**6, baseline: str | None = None, **more: Any
) -> TrialRecord:
    """The later a trial, the better it is."""
    fields: dict[str, Any] = {
        "number": number, "state": "complete", "values": {}, "accuracy": number / 10, "outcome": None, "message": None,
        "epochs": ((1, 0.1),), "curve": (), "seed": 1, "baseline": baseline, "violations": {}, "started": None,
        "seconds": 10.0, "attributes": {"flops": flops, "seconds_per_epoch": seconds * flops / 10**6},
    }  # fmt: skip
    return TrialRecord(**{**fields, **more})


def suiting(number: int, epochs: int, **more: Any) -> TrialRecord:
    """A known recipe, the best for so many epochs."""
    known = trial(number, baseline=f"for {epochs}", **more)
    return replace(known, attributes={**known.attributes, "suits": epochs})


def history(*trials: TrialRecord, images: int | None = None) -> History:
    manifest = replace(MANIFEST, epochs=4, retrain_epochs=100, images=images)
    return History(study="tiny", manifest=manifest, planned=len(trials), trials=trials)


def timed(seconds: float, *, images: int | None = None) -> History:
    """Four trials, each epoch of which took so long."""
    return history(*(trial(number, seconds=seconds) for number in range(4)), images=images)


@given(st.floats(0.01, 100), st.integers(1, 3), st.floats(1, 120))
def test_a_decision_ends_in_its_time_and_gives_most_of_it_to_the_final_training(
    seconds: float, slots: int, minutes: float
) -> None:
    plan = make_plan(timed(seconds), images=1800, slots=slots, minutes=minutes)
    final = plan.final_epochs(plan.trials[0])
    assert plan.seconds <= 60 * minutes or (final, plan.confirm_epochs) == (1, 1)
    if 1 < final < plan.most:
        assert plan.seconds > 0.97 * 60 * minutes - plan.final_seconds(plan.trials[0])
        assert len(plan.trials) == 3, "less evidence before a shorter training"
        assert plan.confirming_seconds <= 0.3 * 60 * minutes or plan.confirm_epochs == 1


def test_time_that_the_longest_training_leaves_goes_into_evidence() -> None:
    plan = make_plan(timed(0.01), images=1800, slots=2, minutes=60)
    assert (len(plan.trials), plan.confirm_seeds, plan.seeds) == (4, 2, 3)
    assert {plan.final_epochs(row) for row in plan.trials} == {100}


def test_a_small_network_is_trained_for_longer_in_the_same_time() -> None:
    small, large = trial(0), trial(1, flops=2 * 10**6)
    plan = make_plan(history(small, large), images=1800, slots=1, minutes=2)
    assert plan.final_epochs(small) == pytest.approx(2 * plan.final_epochs(large), abs=2)


def test_what_is_asked_for_is_kept_however_long_it_takes() -> None:
    plan = make_plan(timed(100.0), images=1800, slots=1, minutes=1, epochs=40, seeds=5, candidates=2, confirm_seeds=3)
    assert (len(plan.trials), plan.confirm_seeds, plan.seeds, plan.final_epochs(plan.trials[0])) == (2, 3, 5, 40)
    assert plan.title == (
        "confirm trials 3, 2 with 3 fresh seeds each, 8 epochs long, retrain the winner with 5, 40 epochs long"
    )


def test_trials_on_a_quarter_of_the_images_forecast_what_all_images_take() -> None:
    whole, quarter = (make_plan(timed(10.0, images=part), images=1800, slots=1, minutes=1e6) for part in (None, 450))
    whole_epochs, quarter_epochs = 1 + EVALUATION * VALIDATION, 1 / 4 + EVALUATION * VALIDATION
    assert quarter.pace == pytest.approx(whole.pace * whole_epochs / quarter_epochs)


def test_epochs_without_a_look_tell_the_pace_best() -> None:
    looked = trial(0, seconds=10.0)
    told = replace(looked, attributes={**looked.attributes, "training_seconds": 3.0})
    plan = make_plan(history(told, looked, images=450), images=1800, slots=1, minutes=60)
    assert plan.pace == pytest.approx(3.0 / 10**6 * 4 * (1 + EVALUATION * VALIDATION))


def test_the_first_recipe_is_always_confirmed_and_so_is_the_one_that_suits_the_final_training() -> None:
    def numbers(study: History, count: int, *, epochs: int = 10) -> list[int]:
        return [row.number for row in contenders(study, count, final=lambda _: epochs)]

    names = ["first", "second", None, None, None]
    study = history(*(trial(number, baseline=name) for number, name in enumerate(names)))
    assert numbers(study, 3) == [4, 3, 0]
    assert numbers(study, 5) == [4, 3, 2, 1, 0]
    assert numbers(study, 1) == [4]
    assert numbers(replace(study, trials=study.trials[2:]), 3) == [4, 3, 2]
    long = suiting(1, 30, state="pruned")
    known = history(suiting(0, 10), long, suiting(2, 2), trial(3), trial(4))
    assert numbers(known, 3) == [4, 3, 0]
    assert numbers(known, 3, epochs=25) == [4, 1, 0], "pruned or not: short trials are no judges of long ones"
    assert numbers(known, 2, epochs=25) == [4, 0]
    assert numbers(known, 4, epochs=2) == [4, 3, 2, 0]
    infeasible = replace(long, violations={"flops": 0.1})
    assert numbers(history(suiting(0, 10), infeasible, trial(2), trial(3)), 3, epochs=25) == [3, 2, 0]
    with pytest.raises(StudyError, match="no complete trial"):
        check_complete(history())


@pytest.mark.parametrize(
    ("costs", "slots", "expected"),
    [([6.0], 1, 6.0), ([6.0], 2, 3.0 / ALONE), ([6.0, 2.0], 2, 6.0), ([2.0, 2.0, 6.0], 2, 6.0), ([3.0] * 3, 2, 6.0)],
)
def test_the_time_of_jobs_side_by_side_is_that_of_the_last_to_end(
    costs: list[float], slots: int, expected: float
) -> None:
    assert makespan(costs, slots=slots) == pytest.approx(expected)
