"""A supervisor that is killed at any point of its work leaves a true record, which the next one takes up."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from tiny import ask, check, database, finish, forked, run, starter

from studies.study import Study

TRIALS = 3
POINTS = ("created", "asked", "owned", "reporting", "reported", "telling", "told", "losing", "putting_back")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return database(tmp_path)
    return str(request.getfixturevalue("postgres").database())


def kill_at(point: str, *, times: int) -> None:
    """This process ends by SIGKILL when it comes to a named point of a study for the so manieth time."""
    left = times

    def hook(event: str, _arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event == f"cifar_search.study.{point}":
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def live(study: Study) -> None:
    """Every kind of thing that happens to a study, until it has its trials."""
    study.lose(ask(study).number, outcome="hung", message="silent")
    study.lose(ask(study).number, outcome="crashed", message="signal 9")
    finish(study, ask(study))
    study.fail(ask(study).number, outcome="diverged", message="NaN")
    study.report(ask(study).number, epoch=1, accuracy=0.25, loss=1.5)
    study.put_back(2)
    run(study)


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point(url: str, point: str, times: int) -> None:
    """Whoever comes next finishes the study, and what was finished stays as it was."""
    if (point, times) == ("created", 2):
        pytest.skip("a start creates a study only once")
    start = partial(starter(url), trials=TRIALS, sampler="tpe", pruner="median")

    def killed() -> None:
        kill_at(point, times=times)
        with start() as study:
            live(study)

    assert forked(killed) == -signal.SIGKILL
    with start() as study:
        before = study.history().trials
        assert not any(trial.state == "running" for trial in before)
        run(study)
    after = check(url)
    assert after.finished == len(after.trials) == TRIALS
    for old, new in zip(before, after.trials, strict=False):
        assert new == old if old.finished else new.seed == (old.seed or new.seed)
        assert (new.values, new.losses) == (old.values or new.values, old.losses)
        assert new.epochs[: len(old.epochs)] == old.epochs


def test_what_was_asked_and_reported_before_a_kill_stays(url: str, tmp_path: Path) -> None:
    def begin() -> None:
        with starter(url)(trials=TRIALS) as study:
            finish(study, ask(study))
            asked = [ask(study) for _ in range(2)]
            study.report(1, epoch=1, accuracy=0.25, loss=1.5)
            (tmp_path / "asked").write_text(repr([(one.number, one.values, one.seed) for one in asked]))
            os.kill(os.getpid(), signal.SIGKILL)

    assert forked(begin) == -signal.SIGKILL
    with starter(url)(trials=TRIALS) as study:
        assert study.recovered == (1, 2)
        asked = [ask(study) for _ in range(2)]
        assert repr([(one.number, one.values, one.seed) for one in asked]) == (tmp_path / "asked").read_text()
        assert [one.attempt for one in asked] == [2, 2]
        assert not study.report(1, epoch=1, accuracy=0.25)
        assert study.history().trials[1].curve == ({"epoch": 1, "validation_accuracy": 0.25, "loss": 1.5},)
