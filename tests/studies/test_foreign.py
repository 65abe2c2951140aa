"""Trials and studies that another program made: shown as such, left alone, and no reason to crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from tiny import Start, ask, check, finish, run

from search.inspecting.doctor import examine_study
from search.inspecting.status import read_status
from search.planning.catalogue import load
from studies.history import latest_study
from studies.storage import opened

ALIEN: dict[str, Any] = {  # user attributes of our own names
    "curve": 3, "losses": ["none"], "values": [1.0], "asked": "politely", "outcome": ["x"], "message": 1, "seed": "x",
    "attempt": "first", "baseline": 7, "manifest": "mine", "start_date": "yesterday", "planned": "many",
}  # fmt: skip


def theirs(url: str, do: Callable[[optuna.Study], object], name: str = "tiny") -> None:
    """Does something with plain Optuna, as another program would."""
    with opened(url) as storage:
        do(optuna.load_study(study_name=name, storage=storage))


def by_hand(study: optuna.Study, **attributes: Any) -> None:
    rates = {"rate": FloatDistribution(0, 5)}
    study.add_trial(create_trial(value=0.99, params={"rate": 3.0}, distributions=rates, user_attrs=attributes))


@pytest.mark.parametrize("command", ["status", "best", "doctor", "explain", "spaces advise", "studies"])
def test_a_study_of_plain_optuna_beside_ours(
    start: Start, url: str, tmp_path: Path, call: Callable[..., tuple[int, str, str]], command: str
) -> None:
    def objective(trial: optuna.Trial) -> float:
        for name, value in ALIEN.items():
            trial.set_user_attr(name, value)
        return trial.suggest_float("x", 0, 1)

    with start(trials=1) as study:
        run(study)
    with opened(url) as storage:
        plain = optuna.create_study(study_name="plain", storage=storage, direction="maximize")
        for name, value in ALIEN.items():
            plain.set_user_attr(name, value)
        plain.optimize(objective, n_trials=2)
    assert latest_study(url) == "tiny"
    if command in ("status", "doctor", "studies"):  # the others need a candidate that can be built
        code, output, errors = call(*command.split(), "--runs", tmp_path)
        assert (code in (0, 4), "tiny" in output, errors) == (True, True, "")
    if command == "studies":
        assert "2 foreign" in output
        return
    code, output, errors = call(*command.split(), "--runs", tmp_path, "--study", "plain")
    assert (code, output) == (4, "")
    assert "study 'plain' was not made by this version of cifar-search" in errors


@pytest.mark.parametrize(("sampler", "attributes"), [("random", ALIEN), ("tpe", {}), ("qmc", {})])
def test_a_trial_that_was_added_by_hand(
    start: Start, url: str, tmp_path: Path, sampler: str, attributes: dict[str, Any]
) -> None:
    with start(trials=2) as study:
        run(study)
    theirs(url, lambda study: by_hand(study, **attributes))
    with start(trials=12, sampler=sampler) as study:
        assert study.history().remaining == 10  # it takes no trial's place
        run(study)
    history = check(url)
    assert (history.trials[2].state, history.trials[2].values, history.finished) == ("foreign", {}, 12)
    assert history.best
    assert history.best.number != 2
    assert history.counts == {"complete": 12, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    assert "trial 2 was not made by cifar-search" in examine_study(tmp_path).notes
    assert read_status(tmp_path).as_json()["foreign"] == [2]


def test_a_trial_by_hand_is_drawn_and_cannot_be_explained_or_reproduced(
    start: Start, url: str, tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    with start(trials=1) as study:
        run(study)
    theirs(url, by_hand)
    assert "trial 1, not made by cifar-search" in call("status", "--runs", tmp_path)[1]
    for command in (["explain", "--trial", "1"], ["reproduce", "1"]):
        code, _, errors = call(*command, "--runs", tmp_path)
        assert code == 4
        assert "(not made by cifar-search)" in errors


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.COMPLETE])
def test_a_trial_that_another_program_ends_while_it_trains(
    start: Start, url: str, tmp_path: Path, state: TrialState
) -> None:
    with start(trials=2) as study:
        number = ask(study).number
        study.report(number, epoch=1, accuracy=0.5)
        values = 0.99 if state == TrialState.COMPLETE else None
        theirs(url, lambda study: study.tell(number, values, state=state))
        run(study)
    history = check(url)  # and no finding that nobody can repair
    assert history.trials[0].state == "failed"
    assert history.best is history.trials[1]
    assert examine_study(tmp_path).notes[0] == "trial 0 was ended by another program, such as the dashboard"


SPACE = load("smoke")


@pytest.mark.parametrize(
    ("queued", "said"),
    [
        ({"architecture.activation": "ReLU"}, "architecture.activation must be relu | silu, not 'ReLU'"),
        ({"recipe.learning_rate": 99.0}, "recipe.learning_rate must be 0.5 .. 8.0, log, not 99.0"),
        ({"recipe.learning_rate": -1}, "recipe.learning_rate must be 0.5 .. 8.0, log, not -1"),
        ({"recipe.learning_rate": None}, "not None"),
        ({"architecture.width.1": 9}, "architecture.width.1 must be 4 .. 12, step 4, not 9"),
        ({"architecture.width.1": 8.5}, "step 4, not 8.5"),
        ({"learning_rate": 1.0}, "learning_rate is not a parameter of space smoke; nearest: recipe.learning_rate"),
        ({"recipe.batch_size": 512}, "recipe.batch_size must be 256, not 512"),
    ],
)
def test_what_the_space_does_not_hold_fails_by_name(start: Start, url: str, queued: dict[str, Any], said: str) -> None:
    with start(trials=1):
        pass
    theirs(url, lambda study: [study.enqueue_trial(queued) for _ in range(2)])
    for trials in (3, 4):  # on this and on each later start
        with start(trials=trials, sampler="tpe") as study:
            while asked := study.ask(SPACE.suggest, misfits=SPACE.misfits):
                finish(study, asked, accuracy=0.5)
    history = check(url)
    assert [trial.outcome for trial in history.trials] == ["infeasible", "infeasible", None, None]
    assert said in str(history.trials[0].message)
    with opened(url) as storage:
        stored = optuna.load_study(study_name="tiny", storage=storage).trials[0].params
    assert stored == {}  # nothing that a sampler would stumble over


def test_what_the_space_holds_is_tried_as_it_was_queued(start: Start, url: str) -> None:
    with start(trials=1) as study:
        theirs(url, lambda study: study.enqueue_trial({"recipe.learning_rate": 3, "recipe.batch_size": 256}, ALIEN))
        asked = study.ask(SPACE.suggest, misfits=SPACE.misfits)
        assert asked
        assert asked.values["recipe.learning_rate"] == 3
        finish(study, asked, accuracy=0.5)
    assert check(url).counts["complete"] == 1


def test_a_value_whose_condition_is_not_met_is_not_dropped_silently(start: Start, url: str) -> None:
    with start(trials=2) as study:
        theirs(url, lambda study: study.enqueue_trial({"rate": 0.5, "extra": 1}))
        assert ask(study).number == 1
        message = study.history().trials[0].message
    assert message == "it was queued with what cannot be: extra is not there beside the other values"
