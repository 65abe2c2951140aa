"""A study is created, resumed or refused; its trials are asked once and finished once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from tiny import MANIFEST, SHA256, Start, ask, check, database, done, finish, run, starter, suggest

from studies import StudyError
from studies.storage import opened
from studies.study import EndedElsewhereError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database(tmp_path)


@pytest.fixture
def start(url: str) -> Start:
    return starter(url)


def test_total_is_a_total_over_two_starts(start: Start, url: str) -> None:
    with start(trials=3) as study:
        run(study)
        assert (done(study), study.ask(suggest)) == (True, None)
    with start(trials=5) as study:
        assert (study.history().finished, study.history().remaining, study.recovered, done(study)) == (3, 2, (), False)
        run(study)
        assert study.history().counts == {"complete": 5, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    with start(trials=2) as study:
        assert (study.history().remaining, done(study), study.ask(suggest)) == (0, True, None)
    assert [trial.number for trial in check(url).trials] == list(range(5))


def test_first_start_is_reproducible_and_the_next_draws_anew(start: Start) -> None:
    with start("a") as one, start("b") as other:
        first = ask(one)
        assert (first.values, first.seed) == (ask(other).values, first.seed)
        assert ask(one).seed != first.seed
    with start("a") as resumed:
        ask(resumed), ask(resumed)  # what the first start left
        assert ask(resumed).values not in [trial.values for trial in resumed.history().trials[:2]]
        numbers = [trial.number for trial in resumed.history().trials]
    assert numbers == [0, 1, 2]
    with start("c", manifest=replace(MANIFEST, seed=1)) as study:
        asked = ask(study)
        assert asked.values != first.values
        assert asked.seed != first.seed


def test_seed_of_a_trial_fits_torch(start: Start) -> None:
    with start() as study:
        assert 0 <= ask(study).seed < 2**63


def test_each_start_is_recorded_with_where_it_came_from(start: Start) -> None:
    with start(provenance={"host": "one"}):
        pass
    with start(provenance={"host": "other"}, trials=7) as study:
        history = study.history()
    assert [start["host"] for start in history.starts] == ["one", "other"]
    assert (history.planned, [start["trials"] for start in history.starts]) == (7, ["20", "7"])


def test_another_study_is_refused_with_the_difference(start: Start) -> None:
    with start():
        pass
    other = replace(MANIFEST, space_fingerprint="dddd", space={"rate": [0.0, 2.0]}, seed=7)
    sentence = r"rate: \[0.0, 1.0\] -> \[0.0, 2.0\]\n  seed: 0 -> 7"
    with pytest.raises(StudyError, match=sentence), start(manifest=other):
        pass
    with start(manifest=replace(MANIFEST, versions={"optuna": "5.1.0"})) as study:
        assert study.notes == ("optuna 5.0.0 -> 5.1.0",)
        assert len(study.history().starts) == 2  # the refused one was none


def test_study_of_something_else_is_refused_and_an_empty_one_is_taken(start: Start, url: str) -> None:
    with opened(url) as storage:
        optuna.create_study(study_name="foreign", storage=storage, direction="maximize").enqueue_trial({"x": 1})
        optuna.create_study(study_name="minimized", storage=storage)
        optuna.create_study(study_name="begun", storage=storage, direction="maximize")  # killed before its manifest
    for name in ("foreign", "minimized"):
        with pytest.raises(StudyError, match="was not made by this version of cifar-search"), start(name):
            pass
    with start("begun"):
        pass


def test_refused_options_leave_no_study(start: Start, url: str) -> None:
    with pytest.raises(StudyError, match="sampler"), start(sampler="tpo"):
        pass
    with pytest.raises(StudyError, match="hyperband"), start(pruner="hyperband"):
        pass
    with opened(url) as storage:
        assert storage.get_all_studies() == []


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
    assert [(trial.baseline, trial.values["rate"], trial.values["fixed"]) for trial in trials[:3]] == [
        ("known", 0.25, "relu"),
        ("other", 0.5, "relu"),
        ("more", 0.1, "relu"),
    ]
    assert len(trials) == 4


def test_put_back_trial_waits_and_comes_again(start: Start) -> None:
    with start(trials=1) as study:
        asked = ask(study)
        study.put_back(asked.number)
        assert (study.history().counts["waiting"], study.history().remaining) == (1, 1)
        study.put_back(asked.number)  # the answer had been lost
        assert ask(study) == replace(asked, attempt=2)
        assert (study.history().remaining, study.ask(suggest)) == (0, None)


def test_pruning_spares_the_last_epoch(start: Start) -> None:
    with start(pruner="median") as study:
        for accuracy in (0.5, 0.6, 0.7, 0.8, 0.9):
            number = ask(study).number
            assert not any(study.report(number, epoch=epoch, accuracy=accuracy) for epoch in (1, 2, 3))
            study.complete(number)
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
            number = ask(study).number
            for epoch in (1, 2, 3):
                study.report(number, epoch=epoch, accuracy=accuracy)
            study.complete(number, violations={"parameters": violation}, checkpoint=SHA256)
        history = study.history()
        assert history.counts == {"complete": 2, "pruned": 1, "failed": 3, "running": 0, "waiting": 0}
        assert history.best is not None
        assert history.best.number == 4
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
        study.complete(asked.number, checkpoint=SHA256, images_per_second=900, parameters=1000, flops=float("inf"))
        record = study.history().trials[0]
        assert record.attributes == {"parameters": 1000, "images_per_second": 900}
        assert (record.checkpoint, record.accuracy) == (SHA256, 0.7)


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
