"""Disks, databases and studies that are not what a search needs: a sentence with the cause, and nothing lost."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from control_groups import limited
from disks import fill, small_disk
from places import TRIALS, Place, gone

from search.data.split import stratified
from search.data.synthetic import training

SPACES = Path(__file__).parents[2] / "spaces"


@pytest.mark.fault(
    "disk full while a checkpoint is written", then="exit 5 with path and cause; the same command goes on"
)
def test_a_full_disk_stops_with_the_cause(place: Place, tmp_path: Path) -> None:
    away = replace(place, storage=f"sqlite:///{tmp_path}/elsewhere.db")
    with small_disk(place.runs, "20m"):
        first = away.start(STUB_PACE="0.1")
        first.until("trial 0 epoch 1/3")
        fill(place.runs / "filler")

        assert gone(first) == 5, first.output
        assert "No space left on device" in first.output
        assert "Traceback" not in first.output
        (place.runs / "filler").unlink()
        away.finish()
        away.check()


@pytest.mark.fault("disk full under the SQLite database", then="exit 5 with the cause; the same command goes on")
@pytest.mark.slow
def test_a_full_disk_under_the_database(place: Place) -> None:
    with small_disk(place.runs, "20m"):
        first = place.start(STUB_PACE="0.1", trials=200)
        first.until("trial 0 epoch 1/3")
        fill(place.runs / "filler")

        assert gone(first, seconds=60) == 5, first.output
        assert "Traceback" not in first.output
        (place.runs / "filler").unlink()
        trials = max(TRIALS, len(place.history().trials))
        place.completed(place.start(trials=trials), trials=trials)


@pytest.mark.fault("a folder that becomes read-only", then="exit 5 with the cause; the same command goes on")
@pytest.mark.slow
def test_a_read_only_folder(place: Place) -> None:
    with small_disk(place.runs, "100m"):
        first = place.start(STUB_PACE="0.1", trials=200)
        first.until("trial 0 epoch 1/3")
        first.kill()
        gone(first)
        subprocess.run(["mount", "-o", "remount,ro", place.runs], check=True)
        second = place.start(trials=200)

        assert gone(second) == 5, second.output
        assert "read-only" in second.output.lower()
        assert "Traceback" not in second.output
        subprocess.run(["mount", "-o", "remount,rw", place.runs], check=True)
        trials = len(place.history().trials)
        place.completed(place.start(trials=trials), trials=trials)


@pytest.mark.fault("the database file is gone", then="exit 5 with the cause; put back, the same command goes on")
def test_a_storage_that_is_gone(place: Place, tmp_path: Path) -> None:
    first = place.start(STUB_PACE="0.1", trials=200)
    first.until("trial 0 epoch 1/3")
    shutil.move(place.runs / "studies.db", tmp_path / "kept.db")

    assert gone(first) == 5, first.output
    assert "Traceback" not in first.output
    shutil.move(tmp_path / "kept.db", place.runs / "studies.db")
    trials = len(place.history().trials)
    place.completed(place.start(trials=trials), trials=trials)


@pytest.mark.fault(
    "another seed, space or split for a known study", then="exit 4, each difference named, nothing changed"
)
def test_a_study_is_never_continued_with_something_else(place: Place) -> None:
    place.finish(STUB_PACE="0")
    before = place.history()
    shutil.copy(SPACES / "fast.yaml", place.outputs / "smoke.yaml")

    def refuses(said: str, *more: str) -> None:
        start = place.start(*more, trials=9)
        assert gone(start) == 4, start.output
        assert said in start.output

    refuses("seed: 0 -> 1", "--seed", "1")
    refuses("epochs: 3 -> 5", "--epochs", "5")
    refuses("architecture.", "--space", str(place.outputs / "smoke.yaml"))
    stratified(training().labels, validation=200, seed=5).save(place.runs / "smoke" / "split.npz")
    refuses("split: ")
    assert place.history() == before


@pytest.mark.fault("a study of another version", then="exit 4 and the advice to take another name; nothing changed")
def test_a_study_of_another_version(place: Place) -> None:
    place.runs.mkdir()
    study = optuna.create_study(storage=place.url, study_name="smoke", direction="maximize")
    study.set_user_attr("manifest", {"format": "of the future"})
    study.add_trial(optuna.trial.create_trial(value=0.5))
    start = place.start()

    assert gone(start) == 4, start.output
    assert "was not made by this version of cifar-search; name another with --study OTHER" in start.output
    assert [trial.value for trial in study.trials] == [0.5]


@pytest.mark.fault("every slot dies at its start", then="exit 6 after three; no trial pays for it")
def test_slots_that_cannot_start_stop_the_search(place: Place) -> None:
    start = place.start(STUB_BROKEN="1")

    assert gone(start, seconds=20) == 6, start.output
    assert "3 slots in a row ended before they began" in start.output
    place.finish(STUB_BROKEN="")
    assert all(trial.losses == () for trial in place.check().trials)


@pytest.mark.fault(
    "the kernel kills slots because a container's memory ran out",
    then="said with the limit; it counts for no trial until one slot is left",
)
def test_slots_that_share_too_little_memory_become_fewer(place: Place) -> None:
    with limited("memory", limit_in_bytes=400 * 2**20) as admit:
        start = place.start(STUB_TROUBLE="1:eat!")
        admit(start.pid)
        trial = place.completed(start).trials[1]

    assert "memory ran out, of which the container has 0.4 GB; fewer slots need less: --slots 1" in start.output
    assert (trial.outcome, trial.attempts, [loss.outcome for loss in trial.losses]) == (
        "out-of-memory", 2 + 3, ["out-of-memory"] * 3,
    )  # fmt: skip
    assert "memory ran out, of which the container has 0.4 GB" in str(trial.message)


@pytest.mark.fault(
    "data, a GPU or the install break while a search runs", then="exit 3 or 6 after two trials in a row, which wait"
)
def test_two_trials_that_crash_alike_before_their_first_step_are_not_blamed(place: Place) -> None:
    start = place.start(slots=1, STUB_UNABLE="1,2")

    assert gone(start) == 6, start.output
    assert "two trainings in a row crashed alike before their first step" in start.output
    assert "RuntimeError: no GPU answers; mend that" in start.output
    assert [(trial.state, trial.losses) for trial in place.settled().trials[1:3]] == [("waiting", ())] * 2
    place.finish(STUB_UNABLE="")
    assert place.check().counts["complete"] == TRIALS


@pytest.mark.fault("one trial crashes before its first step", then="failed by name; the rest goes on")
def test_a_trial_that_crashes_alone_before_its_first_step_is_to_blame(place: Place) -> None:
    trials = place.completed(place.start(slots=1, STUB_UNABLE="1,3")).trials  # 3 is the last, whom no other follows

    assert [trial.outcome for trial in trials] == [None, "crashed", None, "crashed"]


@pytest.mark.fault("a trial is queued with what the space does not have", then="it fails by name; the search goes on")
def test_a_queued_value_that_the_space_does_not_have(place: Place) -> None:
    place.finish(trials=1, STUB_PACE="0")
    study = optuna.load_study(study_name="smoke", storage=place.url)
    for queued in ({"architecture.activation": "ReLU"}, {"recipe.learning_rate": 99.0}):
        study.enqueue_trial(queued)
    output = place.finish(trials=4, STUB_PACE="0")

    assert "trial 1 infeasible: it was queued with what cannot be: architecture.activation must be relu" in output
    assert "trial 2 infeasible: it was queued with what cannot be: recipe.learning_rate must be 0.5 .. 8.0" in output
    assert place.check().counts["complete"] == 2


@pytest.mark.fault('"Fail" is pressed in the dashboard while a trial trains', then="told as that; its slot is freed")
def test_a_trial_that_is_failed_by_hand(place: Place) -> None:
    first = place.start(slots=1, trials=2)
    first.until("trial 0 epoch 1/3")
    optuna.load_study(study_name="smoke", storage=place.url).tell(0, state=optuna.trial.TrialState.FAIL)

    assert place.completed(first, trials=2).trials[1].state == "complete"
    assert "trial 0 failed: ended by another program, such as the dashboard" in first.output
