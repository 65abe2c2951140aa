"""A study is created, resumed or refused; its trials are asked once, finished once, and survive a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from studies import StudyError
from studies.lock import lock
from studies.manifest import Manifest
from studies.storage import opened
from studies.study import Asked, Study, open_study

ROOT = Path(__file__).parents[1]

MANIFEST = Manifest(
    space_name="tiny",
    space={"rate": [0.0, 1.0]},
    space_fingerprint="aaaa",
    split_fingerprint="bbbb",
    data_fingerprint="cccc",
    seed=0,
    epochs=3,
    retrain_epochs=9,
    versions={"optuna": "5.0.0"},
)

Start = Callable[..., Study]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def start(url: str) -> Start:
    def start(name: str = "tiny", *, trials: int = 20, manifest: Manifest = MANIFEST, **options: Any) -> Study:
        return open_study(
            name,
            storage=url,
            trials=trials,
            manifest=manifest,
            conditional=False,
            differences=lambda old, new: [f"rate: {old['rate']} -> {new['rate']}"],
            **{"sampler": "random", "pruner": "none", **options},
        )

    return start


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {"rate": trial.suggest_float("rate", 0, 1), "width": trial.suggest_int("width", 1, 64), "fixed": "relu"}


def finish(study: Study, asked: Asked) -> None:
    for epoch in range(1, 4):
        if study.report(asked.number, epoch=epoch, accuracy=asked.values["rate"]):  # type: ignore[arg-type]
            return study.prune(asked.number)
    return study.complete(asked.number, float(asked.values["rate"]))


def run(study: Study) -> None:
    while study.remaining:
        finish(study, study.ask(suggest))


def test_total_is_a_total_over_two_starts(start: Start) -> None:
    with start(trials=3) as study:
        run(study)
    with start(trials=5) as study:
        assert (study.finished, study.remaining, study.recovered) == (3, 2, ())
        run(study)
        assert study.counts == {"complete": 5, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    with start(trials=2) as study:
        assert study.remaining == 0


def test_first_start_is_reproducible_and_the_next_draws_anew(start: Start) -> None:
    with start("a") as one, start("b") as other:
        first = one.ask(suggest)
        assert (first.values, first.seed) == (other.ask(suggest).values, first.seed)
        assert one.ask(suggest).seed != first.seed
    with start("a") as resumed:
        resumed.ask(suggest), resumed.ask(suggest)  # what the first start left
        assert resumed.ask(suggest).values not in [trial.values for trial in resumed.history().trials[:2]]
        numbers = [trial.number for trial in resumed.history().trials]
    assert numbers == [0, 1, 2]
    with start("c", manifest=replace(MANIFEST, seed=1)) as study:
        asked = study.ask(suggest)
        assert asked.values != first.values
        assert asked.seed != first.seed


def test_seed_of_a_trial_fits_torch(start: Start) -> None:
    with start() as study:
        assert 0 <= study.ask(suggest).seed < 2**63


def test_another_study_is_refused_with_the_difference(start: Start) -> None:
    start().__exit__()
    with pytest.raises(StudyError, match=r"rate: \[0.0, 1.0\] -> \[0.0, 2.0\]\n  seed: 0 -> 7"):
        start(manifest=replace(MANIFEST, space_fingerprint="dddd", space={"rate": [0.0, 2.0]}, seed=7))
    with start(manifest=replace(MANIFEST, versions={"optuna": "5.1.0"})) as study:
        assert study.notes == ("optuna 5.0.0 -> 5.1.0",)


def test_study_of_something_else_is_refused_and_an_empty_one_is_taken(start: Start, url: str) -> None:
    with opened(url) as storage:
        optuna.create_study(study_name="foreign", storage=storage, direction="maximize").enqueue_trial({"x": 1})
        optuna.create_study(study_name="minimized", storage=storage)
        optuna.create_study(study_name="begun", storage=storage, direction="maximize")  # killed before its manifest
    for name in ("foreign", "minimized"):
        with pytest.raises(StudyError, match="was not made by this version of cifar-search"):
            start(name)
    start("begun").__exit__()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "line\n", "x" * 65])
def test_name_that_is_no_name(start: Start, name: str) -> None:
    with pytest.raises(StudyError, match="study's name is"):
        start(name)


def test_refused_options_leave_no_study(start: Start, url: str) -> None:
    with pytest.raises(StudyError, match="sampler"):
        start(sampler="tpo")
    with pytest.raises(StudyError, match="hyperband"):
        start(pruner="hyperband")
    with opened(url) as storage:
        assert storage.get_all_studies() == []


def test_baselines_come_first_and_once(start: Start) -> None:
    baselines = [("known", {"rate": 0.25, "width": 8}), ("other", {"rate": 0.5, "width": 16}), ("more", {"rate": 0.1})]
    with start(trials=2) as study:
        study.enqueue(baselines)
        study.enqueue(baselines)
        assert study.counts["waiting"] == 2  # the third would be a third trial
        run(study)
    with start(trials=4) as study:
        study.enqueue(baselines)
        assert study.counts["waiting"] == 0
        trials = study.history().trials
    assert [(trial.baseline, trial.values["rate"], trial.values["fixed"]) for trial in trials] == [
        ("known", 0.25, "relu"),
        ("other", 0.5, "relu"),
    ]


def test_queue_that_a_kill_cut_short_is_completed(start: Start) -> None:
    with start() as study:
        study._inner.enqueue_trial({"rate": 0.25}, user_attrs={"baseline": "known"})
    with start() as study:
        study.enqueue([("known", {"rate": 0.25}), ("other", {"rate": 0.5})])
        assert [trial.baseline for trial in study.history().trials] == ["known", "other"]


_KILLED = """
import json, os, signal, sys
from pathlib import Path
from studies.lock import lock
from studies.manifest import Manifest
from studies.study import open_study

folder, fields = Path(sys.argv[1]), json.loads(sys.argv[2])

def suggest(trial):
    return {"rate": trial.suggest_float("rate", 0, 1), "width": trial.suggest_int("width", 1, 64), "fixed": "relu"}

with lock(folder / "lock"):
    study = open_study(
        "tiny", storage=f"sqlite:///{folder}/studies.db", sampler="tpe", pruner="median", trials=6,
        manifest=Manifest(**fields), conditional=False, differences=lambda old, new: [],
    )
    first = study.ask(suggest)
    study.complete(first.number, 0.5)
    asked = [study.ask(suggest) for _ in range(2)]
    study.report(1, epoch=1, accuracy=0.25)
    study.report(1, epoch=2, accuracy=0.5, loss=1.5)
    study._trial(2).set_user_attr("outcome", "crashed")  # the second of the steps of `fail`
    print(json.dumps([[one.number, one.values, one.seed] for one in asked]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_supervisor_loses_and_repeats_nothing(start: Start, tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path), json.dumps(MANIFEST.as_dict())],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    number, values, seed = json.loads(child.stdout)[0]
    with lock(tmp_path / "lock"), start(trials=6, sampler="tpe", pruner="median") as study:
        assert study.recovered == (1,)
        assert study.counts == {"complete": 1, "pruned": 0, "failed": 1, "running": 0, "waiting": 1}
        asked = study.ask(suggest)
        assert (asked.number, asked.values, asked.seed) == (number, values, seed) == (1, values, seed)
        assert not study.report(1, epoch=1, accuracy=0.25)  # stored before the kill, and no warning
        study.report(1, epoch=3, accuracy=0.75)
        study.complete(1, 0.75)
        run(study)
        assert (study.finished, study.counts["running"], study.counts["waiting"]) == (6, 0, 0)
        trials = study.history().trials
    assert [trial.number for trial in trials] == list(range(6))
    assert trials[1].epochs == ((1, 0.25), (2, 0.5), (3, 0.75))


def test_put_back_trial_waits_and_comes_again(start: Start) -> None:
    with start(trials=1) as study:
        asked = study.ask(suggest)
        study.put_back(asked.number)
        assert (study.counts["waiting"], study.remaining) == (1, 1)
        assert study.ask(suggest) == asked
        assert study.remaining == 0


def test_pruning_spares_the_last_epoch(start: Start) -> None:
    with start(pruner="median") as study:
        for accuracy in (0.5, 0.6, 0.7, 0.8, 0.9):
            asked = study.ask(suggest)
            assert not any(study.report(asked.number, epoch=epoch, accuracy=accuracy) for epoch in (1, 2, 3))
            study.complete(asked.number, accuracy)
        poor, late = study.ask(suggest), study.ask(suggest)
        assert study.report(poor.number, epoch=1, accuracy=0.1)
        study.prune(poor.number)
        assert not study.report(late.number, epoch=3, accuracy=0.1)
        record = study.history().trials[poor.number]
        assert (record.state, record.accuracy, record.epochs) == ("pruned", 0.1, ((1, 0.1),))


def test_failures_are_told_as_violations(start: Start, url: str) -> None:
    with start() as study:
        for outcome, reported in (("diverged", float("nan")), ("out-of-memory", None), ("hung", 0.95)):
            number = study.ask(suggest).number
            if reported is not None:
                study.report(number, epoch=1, accuracy=reported, loss=float("nan"))
            study.fail(number, outcome=outcome, message="what happened\n" * 300)  # type: ignore[arg-type]
        number = study.ask(suggest).number
        study.fail(number, outcome="infeasible", message="too large", violations={"parameters": 0.5, "flops": -0.1})
        number = study.ask(suggest).number
        study.complete(number, 0.5, violations={"parameters": -0.5})
        number = study.ask(suggest).number
        study.complete(number, 0.9, violations={"parameters": 0.1})
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


def test_sampler_keeps_away_from_failures(start: Start) -> None:
    with start(trials=40, sampler="tpe") as study:
        while study.remaining:
            asked = study.ask(suggest)
            if float(asked.values["rate"]) > 0.3:  # towards the best
                study.fail(asked.number, outcome="out-of-memory", message="")
            else:
                study.complete(asked.number, float(asked.values["rate"]))
        failed = [trial.state == "failed" for trial in study.history().trials]
    assert sum(failed[20:]) <= 11  # about 14 for a sampler that sees nothing of them


def test_numbers_the_curve_and_the_note(start: Start) -> None:
    with start() as study:
        asked = study.ask(suggest)
        study.note(asked.number, parameters=1000, flops=float("inf"))
        study.report(asked.number, epoch=1, accuracy=0.5, train_loss=2.0)
        study.report(asked.number, epoch=2, accuracy=0.6, train_loss=None)
        record = study.history().trials[0]
        assert (record.attributes, record.seed) == ({"parameters": 1000}, asked.seed)
        assert record.curve == (
            {"epoch": 1, "validation_accuracy": 0.5, "train_loss": 2.0},
            {"epoch": 2, "validation_accuracy": 0.6, "train_loss": None},
        )
        study.annotate("# Best so far\n" + "a line\n" * 1000)
        attributes = study._database.get_study_system_attrs(study._id)
        assert "".join(attributes[f"dashboard:note_str:{index}"] for index in range(4)).endswith("a line\n")


def test_epoch_whose_report_a_kill_cut_short_is_once_in_the_curve(start: Start) -> None:
    row = {"epoch": 1, "validation_accuracy": 0.5}
    with start() as study:
        number = study.ask(suggest).number
        study._trial(number).set_user_attr("curve", [row])  # the first of the steps of `report`
    with start() as study:
        study.report(study.ask(suggest).number, epoch=1, accuracy=0.5)
        assert study.history().trials[0].curve == (row,)


def test_importing_studies_is_light() -> None:
    code = "import sys, studies; sys.exit('optuna' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
