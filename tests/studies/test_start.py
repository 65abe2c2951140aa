"""A study is created, resumed or refused."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from tiny import MANIFEST, Start, ask, check, done, run, suggest

from studies import StudyError
from studies.storage import opened


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
        assert (study.history().planned, study.trials) == (5, 5)  # nothing that is finished is taken back
        assert study.notes == ("5 trials are finished already, more than --trials 2; --trials 6 or more goes on",)
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


def test_a_changed_sampler_or_pruner_is_said(start: Start) -> None:
    for sampler, pruner, notes in [
        ("random", "none", ()),
        ("random", "none", ()),
        ("tpe", "median", ("sampler random -> tpe", "pruner none -> median")),
        ("tpe", "none", ("pruner median -> none",)),
    ]:
        with start(sampler=sampler, pruner=pruner, provenance={"sampler": sampler, "pruner": pruner}) as study:
            assert study.notes == notes
