"""Disks, databases and studies that are not what a search needs: a sentence with the cause, and nothing lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from places import Place, gone
from starts import wait_for

from search.data.split import stratified
from search.data.synthetic import training

TRIALS, EPOCHS = 4, 3
PACE = 0.05  # seconds of a step, of which an epoch has four

STUDY_POINTS = ("asked", "owned", "reporting", "reported", "telling", "told")
CHECKPOINT_POINTS = ("begin", "half", "written", "synced", "renamed", "kept")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own, which only root can make."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system of its own can be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@pytest.mark.fault(
    "disk full while a checkpoint is written", then="exit 5 with path and cause; the same command goes on"
)
def test_a_full_disk_stops_with_the_cause(place: Place, tmp_path: Path) -> None:
    away = Place(warm=place.warm, runs=place.runs, outputs=place.outputs, storage=f"sqlite:///{tmp_path}/elsewhere.db")
    with small_disk(place.runs, "100m"):
        first = away.start(STUB_PACE="0.1")
        first.until("trial 0 epoch 1/3")
        filler = place.runs / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True)

        assert gone(first) == 5, first.output
        assert "No space left on device" in first.output
        assert "Traceback" not in first.output
        filler.unlink()
        away.finish()
        away.check()


@pytest.mark.fault("disk full under the SQLite database", then="exit 5 with the cause; the same command goes on")
@pytest.mark.slow
def test_a_full_disk_under_the_database(place: Place) -> None:
    with small_disk(place.runs, "100m"):
        first = place.start(STUB_PACE="0.1", trials=200)
        first.until("trial 0 epoch 1/3")
        filler = place.runs / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], capture_output=True)

        assert gone(first, seconds=60) == 5, first.output
        assert "Traceback" not in first.output
        filler.unlink()
        trials = max(TRIALS, len(place.history().trials))
        again = place.start(trials=trials)
        assert again.end() == 0, again.output
        place.check(trials=trials)


@pytest.mark.fault("a folder that becomes read-only", then="exit 5 with the cause; the same command goes on")
@pytest.mark.slow
def test_a_read_only_folder(place: Place) -> None:
    with small_disk(place.runs, "100m"):
        first = place.start(STUB_PACE="0.1", trials=200)
        first.until("trial 0 epoch 1/3")
        first.kill(signal.SIGKILL)
        first.end()
        wait_for(lambda: not first.left(), what=lambda: "its slots to end")
        remount(place.runs, "ro")
        second = place.start(trials=200)

        assert gone(second) == 5, second.output
        assert "read-only" in second.output.lower()
        assert "Traceback" not in second.output
        remount(place.runs, "rw")
        trials = len(place.history().trials)
        again = place.start(trials=trials)
        assert again.end() == 0, again.output
        place.check(trials=trials)


@pytest.mark.fault("the database file is gone", then="exit 5 with the cause; put back, the same command goes on")
def test_a_storage_that_is_gone(place: Place, tmp_path: Path) -> None:
    first = place.start(STUB_PACE="0.1", trials=200)
    first.until("trial 0 epoch 1/3")
    shutil.move(place.runs / "studies.db", tmp_path / "kept.db")

    assert gone(first) == 5, first.output
    assert "Traceback" not in first.output
    shutil.move(tmp_path / "kept.db", place.runs / "studies.db")
    trials = len(place.history().trials)
    again = place.start(trials=trials)
    assert again.end() == 0, again.output
    place.check(trials=trials)


@pytest.mark.fault(
    "another seed, space or split for a known study", then="exit 4, each difference named, nothing changed"
)
def test_a_study_is_never_continued_with_something_else(place: Place) -> None:
    place.finish()
    before = place.history()
    other_space = place.outputs / "other.yaml"
    other_space.write_text(Path("spaces/smoke.yaml").read_text().replace("description: ", "description: Another. "))
    shutil.copy("spaces/fast.yaml", place.outputs / "smoke.yaml")
    split = place.runs / "smoke" / "split.npz"

    refused: dict[str, Mapping[str, object]] = {}
    for name, more in {
        "seed: 0 -> 1": ("--seed", "1"),
        "epochs: 3 -> 5": ("--epochs", "5"),
        "architecture.": ("--space", str(place.outputs / "smoke.yaml")),
    }.items():
        start = place.start(*more, trials=9)
        assert gone(start) == 4, start.output
        assert name in start.output
        refused[name] = {}
    stratified(training().labels, validation=200, seed=5).save(split)
    start = place.start(trials=9)
    assert gone(start) == 4, start.output
    assert "split: " in start.output
    assert place.history() == before


@pytest.mark.fault("a study of another version", then="exit 4 and the advice to take another name; nothing changed")
def test_a_study_of_another_version(place: Place) -> None:
    import optuna

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
