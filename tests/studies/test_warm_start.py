"""A study may start with the trials of another one: they teach it, and do not count in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest
from tiny import MANIFEST, SHA256, Start, ask, check, done, finish, run, suggest

from studies import StudyError
from studies.history import History, read_history
from studies.manifest import check_alike
from studies.start import Carried, Carry, carried_from

SEED_ONE = replace(MANIFEST, seed=1)


@pytest.fixture
def old(start: Start) -> History:
    """Three complete trials, one pruned, one infeasible, one that crashed."""
    with start("old", trials=6) as study:
        for _ in range(3):
            number = ask(study).number
            for epoch in (1, 2, 3):
                study.report(number, epoch=epoch, accuracy=0.25 * epoch, validation_loss=1 / epoch)
            study.complete(number, checkpoint=SHA256, flops=5.0)
        study.report(number := ask(study).number, epoch=1, accuracy=0.1)
        study.prune(number)
        study.fail(ask(study).number, outcome="infeasible", message="too large", violations={"flops": 0.5})
        study.fail(ask(study).number, outcome="crashed", message="signal 11")
        return study.history()


def carry(old: History, **changes: Any) -> Carry:
    trials = tuple(
        Carried(record=trial, stored=stored(trial.values), violations=trial.violations)
        for trial in old.trials
        if trial.state in ("complete", "pruned")
    )
    return replace(Carry(study=old.study, trials=trials, most=len(trials), suggest=suggest), **changes)


def stored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "fixed"}


def test_carried_trials_are_what_they_were_and_the_new_study_runs_all_its_own(
    old: History, start: Start, url: str
) -> None:
    with start("new", trials=4, carry=carry(old), manifest=SEED_ONE) as study:
        assert study.notes == ("5 of 5 trials of study old are carried over",)
        assert (study.history().finished, study.history().remaining, done(study)) == (0, 4, False)
        before = study.history()
        run(study)
        assert done(study)
    history = check(url, name="new")
    assert [trial.carried for trial in history.trials] == [f"old trial {n}" for n in range(5)] + [None] * 4
    assert (history.carried, history.finished, history.planned) == (5, 4, 4)
    assert history.counts == {"complete": 4, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    for then, now in zip(old.trials[:5], before.trials, strict=True):
        left = {"start": None, "attempts": 0, "checkpoint": None}  # of who trained it
        assert replace(now, carried=None, seconds=None) == replace(then, seconds=None, **left)
        assert now.seconds == pytest.approx(then.seconds)
    own = [trial for trial in history.trials if not trial.carried]
    assert [trial.seed for trial in own] == [SEED_ONE.seed_of(trial.number) for trial in own]


def test_the_sampler_and_the_pruner_see_carried_trials_as_their_own(old: History, start: Start, url: str) -> None:
    with start("new", trials=4, carry=carry(old)) as study:
        ask(study)
    told = optuna.load_study(study_name="new", storage=url).trials
    ran = optuna.load_study(study_name="old", storage=url).trials
    assert [trial.distributions for trial in told] == [ran[0].distributions] * 6
    for now, then in zip(told[:5], ran, strict=False):
        assert (now.state, now.values, now.params) == (then.state, then.values, then.params)
        assert (now.intermediate_values, now.constraints) == (then.intermediate_values, then.constraints)
        assert now.datetime_start == then.datetime_start


def test_a_second_start_does_not_carry_again(old: History, start: Start, url: str) -> None:
    with start("new", trials=2, carry=carry(old)) as study:
        run(study)
    assert carried_from("new", storage=url) == "old"
    with start("new", trials=4, carry=carry(old)) as study:
        assert study.notes == ()
        assert study.history().remaining == 2
        run(study)
    history = check(url, name="new")
    assert (history.carried, history.finished) == (5, 4)
    assert carried_from("old", storage=url) is None


@pytest.mark.parametrize(("carried", "reason"), [(True, "was given those of 'old'"), (False, "has trials of its own")])
def test_a_study_that_has_begun_is_given_no_other_trials(
    old: History, start: Start, url: str, carried: bool, reason: str
) -> None:
    with start("new", trials=2, carry=carry(old) if carried else None) as study:
        run(study)
    before = read_history("new", storage=url)
    sentence = rf"'new' {reason}; leave --carry-over out, or .* --study OTHER"
    with pytest.raises(StudyError, match=sentence), start("new", trials=9, carry=carry(old, study="older")):
        pass
    assert read_history("new", storage=url) == before


def test_what_was_cut_off_while_trials_were_carried_is_completed(old: History, start: Start, url: str) -> None:
    good = carry(old)
    broken = replace(good.trials[-1], stored={"rate": 0.5})  # no width: Optuna cannot draw it
    cut_off = replace(good, trials=(*good.trials[:-1], broken))
    with pytest.raises(ValueError, match="width"), start("new", trials=2, carry=cut_off):
        pass
    with start("new", trials=2, carry=good) as study:
        assert study.history().carried == 5


def test_baselines_that_were_carried_are_not_tried_again(old: History, start: Start) -> None:
    known = stored(old.trials[0].values)
    with start("new", trials=2, carry=carry(old)) as study:
        study.enqueue([("known", known), ("other", {**known, "rate": 0.123}), ("more", {**known, "rate": 0.2})])
        asked = [ask(study).baseline, ask(study).baseline]
    assert asked == ["other", "more"]


def test_a_random_sampler_of_the_same_seed_draws_other_values(old: History, start: Start, url: str) -> None:
    with start("new", trials=3, carry=carry(old)) as study:
        rates = {ask(study).values["rate"] for _ in range(3)}
    assert not rates & {trial.values["rate"] for trial in old.trials if trial.values}


def test_a_trial_that_is_carried_on_keeps_its_origin(old: History, start: Start, url: str) -> None:
    with start("new", trials=1, carry=carry(old)) as study:
        finish(study, ask(study))
        new = study.history()
    with start("newer", trials=1, carry=carry(new)) as study:
        assert [trial.carried for trial in study.history().trials] == [f"old trial {n}" for n in range(5)] + [
            "new trial 5"
        ]


def test_two_objectives_are_both_told(old: History, start: Start, url: str) -> None:
    complete = replace(old, trials=old.trials[:3])
    manifest = replace(MANIFEST, cost="flops")
    with start("new", trials=1, carry=carry(complete), manifest=manifest) as study:
        assert study.history().carried == 3
    trials = optuna.load_study(study_name="new", storage=url).trials
    assert [trial.values for trial in trials] == [[0.75, 5.0]] * 3


def test_studies_on_other_terms_share_no_trial() -> None:
    check_alike(MANIFEST, replace(MANIFEST, seed=5, space={}, space_fingerprint="zzzz"), study="old")
    with pytest.raises(StudyError) as refused:
        check_alike(MANIFEST, replace(MANIFEST, split_fingerprint="dddd", epochs=4, retrain_epochs=8), study="old")
    for line in ("split: bbbb -> dddd", "epochs: 3 -> 4", "retrain_epochs: 9 -> 8"):
        assert f"\n  {line}\n" in f"{refused.value}\n"
