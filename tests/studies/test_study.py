"""The trials of a study are asked once and finished once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import optuna
import pytest
from tiny import Start, ask, check, finish, run, suggest

from studies import StudyError
from studies.storage import opened
from studies.study import SPARED, SPARED_EVERY, EndedElsewhereError


def test_baselines_come_first_and_once(start: Start) -> None:
    baselines = [("known", {"rate": 0.25, "width": 8}), ("other", {"rate": 0.5, "width": 16}), ("more", {"rate": 0.1})]
    with start(trials=2) as study:
        study.enqueue(baselines)
        study.enqueue(baselines)
        assert study.history().counts["waiting"] == 2  # the third would be a third trial
        run(study)
    with start(trials=4) as study:
        study.enqueue(baselines)
        assert study.history().counts["waiting"] == 1  # now there is room for it
        run(study)
        trials = study.history().trials
    found = [(trial.baseline, trial.values["rate"]) for trial in trials]
    assert (found[:3], len(found)) == ([("known", 0.25), ("other", 0.5), ("more", 0.1)], 4)
    assert {trial.values["fixed"] for trial in trials} == {"relu"}


def test_equal_values_are_tried_once_and_what_was_asked_for_comes_before_the_rest(start: Start) -> None:
    own, asked = [("known", {"rate": 0.25, "width": 8}), ("other", {"rate": 0.5, "width": 16})], ("twin", "mine")
    baselines = [*own, ("twin", {"rate": 0.25, "width": 8}), ("mine", {"rate": 0.75, "width": 4})]
    same = ("twin is not queued: a trial has the same values",)
    with start(trials=2) as study:
        assert study.enqueue([*baselines, *baselines], first=asked) == same
        run(study)
    with start(trials=3) as study:
        assert study.enqueue(baselines, first=asked) == same
        run(study)
        assert [trial.baseline for trial in study.history().trials] == ["known", "mine", "other"]


def test_put_back_trial_waits_and_comes_again(start: Start) -> None:
    with start(trials=1) as study:
        asked = ask(study)
        study.put_back(asked.number)
        assert (study.history().counts["waiting"], study.history().remaining) == (1, 1)
        study.put_back(asked.number)  # the answer had been lost
        assert ask(study) == replace(asked, attempt=2)
        assert (study.history().remaining, study.ask(suggest)) == (0, None)


def test_one_trial_in_forty_is_spared_to_see_what_pruning_loses(start: Start) -> None:
    with start(pruner="halving", trials=SPARED_EVERY) as study:
        while asked := study.ask(suggest):
            finish(study, asked, accuracy=1 - asked.number / 100)
        *pruned, last = study.history().trials[10:]
    assert {trial.state for trial in pruned} == {"pruned"}
    assert (last.state, last.attributes[SPARED]) == ("complete", 1), "it would have ended after the first epoch"


def test_pruning_spares_the_last_epoch(start: Start) -> None:
    with start(pruner="median") as study:
        for accuracy in (0.5, 0.6, 0.7, 0.8, 0.9):
            finish(study, ask(study), accuracy=accuracy)
        assert study.history().counts["complete"] == 5
        poor, late = ask(study), ask(study)
        assert study.report(poor.number, epoch=1, accuracy=0.1)
        assert study.report(poor.number, epoch=1, accuracy=0.1)  # the same answer again
        study.prune(poor.number)
        study.report(late.number, epoch=2, accuracy=0.95)
        assert not study.report(late.number, epoch=3, accuracy=0.1)
        record = study.history().trials[poor.number]
        assert (record.state, record.accuracy, record.epochs) == ("pruned", 0.1, ((1, 0.1),))


def test_failures_are_told_as_violations(start: Start, url: str) -> None:
    with start() as study:
        for outcome, reported in (("diverged", float("nan")), ("out-of-memory", None), ("hung", 0.95)):
            number = ask(study).number
            if reported is not None:
                study.report(number, epoch=1, accuracy=reported, loss=float("nan"))
            study.fail(number, outcome=outcome, message="what happened\n" * 300)  # type: ignore[arg-type]
        number = ask(study).number
        study.fail(number, outcome="infeasible", message="too large", violations={"parameters": 0.5, "flops": -0.1})
        for accuracy, violation in ((0.5, -0.5), (0.9, 0.1)):
            finish(study, ask(study), accuracy=accuracy, violations={"parameters": violation})
        history = study.history()
        assert history.counts == {"complete": 2, "pruned": 1, "failed": 3, "running": 0, "waiting": 0}
        assert history.best is history.trials[4]
        assert [trial.outcome for trial in history.trials[:4]] == ["diverged", "out-of-memory", "hung", "infeasible"]
        assert history.trials[1].message == "what happened\n" * 300
        assert history.trials[1].violations == {"out-of-memory": 1.0}
        assert history.trials[3].violations == {"parameters": 0.5, "flops": -0.1}
    with opened(url) as storage:
        assert optuna.load_study(study_name="tiny", storage=storage).best_trial.number == 4
    check(url)


def test_sampler_keeps_away_from_failures(start: Start) -> None:
    with start(trials=30, sampler="tpe") as study:
        while asked := study.ask(suggest):
            if float(asked.values["rate"]) > 0.3:  # towards the best
                study.fail(asked.number, outcome="out-of-memory", message="")
            else:
                finish(study, asked)
        failed = [trial.state == "failed" for trial in study.history().trials]
    assert sum(failed[15:]) <= 7  # about 10 for a sampler that sees nothing of them


def test_complete_means_every_epoch(start: Start) -> None:
    with start() as study:
        number = ask(study).number
        study.report(number, epoch=1, accuracy=0.5)
        with pytest.raises(StudyError, match=r"epoch 3, and trial 0 of study 'tiny' reported \{1: 0.5\}"):
            study.complete(number)
        assert study.history().trials[0].state == "running"


def test_numbers_the_curve_and_the_note(start: Start) -> None:
    with start() as study:
        asked = ask(study)
        study.report(asked.number, epoch=1, accuracy=0.5, train_loss=2.0)
        study.report(asked.number, epoch=2, accuracy=0.6, train_loss=None)
        record = study.history().trials[0]
        assert (record.seed, record.attempts) == (asked.seed, 1)
        assert record.curve == (
            {"epoch": 1, "validation_accuracy": 0.5, "train_loss": 2.0},
            {"epoch": 2, "validation_accuracy": 0.6, "train_loss": None},
        )
        study.report(asked.number, epoch=3, accuracy=0.7)
        study.complete(asked.number, checkpoint="ab", images_per_second=900, parameters=1000, flops=float("inf"))
        record = study.history().trials[0]
        assert record.attributes == {"parameters": 1000, "images_per_second": 900}
        assert (record.checkpoint, record.accuracy) == ("ab", 0.7)


def test_values_that_the_space_does_not_have_fail_by_name(start: Start) -> None:
    def suggest_kind(trial: optuna.Trial) -> dict[str, Any]:
        return {**suggest(trial), "kind": trial.suggest_categorical("kind", ["relu", "gelu"])}

    with start(trials=2) as study:
        study.enqueue([("mistaken", {"rate": 0.5, "width": 4, "kind": "ReLU"})])
        asked = study.ask(suggest_kind)
        assert asked
        assert (asked.number, study.history().trials[0].outcome) == (1, "infeasible")
        assert "ReLU" in (study.history().trials[0].message or "")


@pytest.mark.fault("a trial is ended by hand in the dashboard", then="it stays failed; the search goes on")
def test_a_trial_that_another_program_ends(start: Start, url: str) -> None:
    with start(trials=2) as study:
        number = ask(study).number
        with opened(url) as storage:
            optuna.load_study(study_name="tiny", storage=storage).tell(number, state=optuna.trial.TrialState.FAIL)
        for call in (partial(study.report, number, epoch=1, accuracy=0.5), partial(study.prune, number)):
            with pytest.raises(EndedElsewhereError, match="was ended as FAIL by another program"):
                call()
        run(study)
        assert [trial.state for trial in study.history().trials] == ["failed", "complete"]


@pytest.mark.fault("the study is deleted while it runs", then="exit 4 with the cause")
def test_study_that_is_deleted_meanwhile(start: Start, url: str) -> None:
    with start() as study:
        with opened(url) as storage:
            optuna.delete_study(study_name="tiny", storage=storage)
        with pytest.raises(StudyError, match="was deleted meanwhile"):
            study.ask(suggest)
