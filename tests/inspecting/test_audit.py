"""Every rule about a study's records finds what breaks it, and true records break none."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import ask, check, finish, forked, run, starter

from search.inspecting.doctor import Finding, violations_of
from studies import StudyError
from studies.history import History, Loss, read_history
from studies.start import put_back_running
from studies.storage import owned


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """One trial of each kind: complete, pruned, failed at its third loss, infeasible, running, waiting."""
    with starter(f"sqlite:///{tmp_path_factory.mktemp('runs')}/studies.db")(trials=6) as study:
        finish(study, ask(study))
        number = ask(study).number
        study.report(number, epoch=1, accuracy=0.5)
        study.prune(number)
        for _ in range(3):
            study.lose(ask(study).number, outcome="hung", message="silent")
        study.fail(ask(study).number, outcome="infeasible", message="too large", violations={"flops": 1.0})
        ask(study)
        study.put_back(ask(study).number)
        yield study.history()


def findings(history: History) -> list[Finding]:
    return violations_of(history, searching=True)


def test_true_records(history: History) -> None:
    assert [trial.state for trial in history.trials] == ["complete", "pruned", "failed", "pruned", "running", "waiting"]
    assert findings(history) == []
    assert findings(replace(history, planned=1)) == []  # the last start asked for fewer


@pytest.mark.parametrize(
    ("number", "changes", "rule"),
    [
        (0, {"epochs": ((1, 0.5), (2, 0.5))}, "an epoch is reported and measured once"),
        (0, {"curve": ({"epoch": 1}, {"epoch": 1}, {"epoch": 2})}, "an epoch is reported and measured once"),
        (0, {"epochs": ((1, 0.5),), "curve": ({"epoch": 1},)}, "a complete trial has every epoch"),
        (0, {"accuracy": 0.123}, "a complete trial has its last epoch's accuracy"),
        (0, {"values": {}}, "a complete trial has its values and its seed"),
        (0, {"seed": None}, "a complete trial has its values and its seed"),
        (0, {"checkpoint": None}, "a complete trial has its checkpoint's SHA-256"),
        (0, {"seed": 7}, "a trial's seed comes from the study's and its number"),
        (1, {"accuracy": None}, "a pruned trial has an accuracy or violates a constraint"),
        (2, {"outcome": None, "message": None}, "a failed trial says why"),
        (2, {"state": "waiting"}, "a trial that is lost too often fails"),
        (5, {"losses": (Loss(attempt=1, outcome="hung", message=""),) * 2}, "an attempt is lost once"),
        (5, {"losses": (Loss(attempt=9, outcome="hung", message=""),)}, "an attempt is lost once"),
        (3, {"number": 2}, "trials are numbered from 0 without gaps or repeats"),
        (3, {"number": 9}, "trials are numbered from 0 without gaps or repeats"),
    ],
)
def test_broken_rule(history: History, number: int, changes: dict[str, Any], rule: str) -> None:
    trials = list(history.trials)
    trials[number] = replace(trials[number], **changes)
    found = findings(replace(history, trials=tuple(trials)))
    assert rule in [finding.rule for finding in found]
    assert not any(finding.fixable for finding in found)
    assert all(finding.trial in (None, changes.get("number", number)) for finding in found)


def test_more_trials_than_any_start_asked_for(history: History) -> None:
    (finding,) = findings(replace(history, planned=4, starts=({"trials": "3"},)))
    assert (finding.rule, finding.trial) == ("no more trials than were asked for", None)
    assert "5 trials were begun, and no start asked for more than 4" in finding.message


def test_running_without_a_search_is_found_and_repaired(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"

    def die() -> None:
        with starter(url)(trials=2) as study:
            ask(study), study.report(ask(study).number, epoch=1, accuracy=0.5)
            os.kill(os.getpid(), signal.SIGKILL)

    assert forked(die) == -signal.SIGKILL
    found = violations_of(read_history("tiny", storage=url), searching=False)
    assert [(finding.trial, finding.fixable) for finding in found] == [(0, True), (1, True)]
    with owned(url, study="tiny") as storage:
        assert put_back_running("tiny", storage=storage) == (0, 1)
        assert put_back_running("tiny", storage=storage) == ()
        with pytest.raises(StudyError, match="no study 'tinny'; did you mean 'tiny'"):
            put_back_running("tinny", storage=storage)
    with starter(url)(trials=2) as study:
        assert study.recovered == ()
        run(study)
    check(url)
