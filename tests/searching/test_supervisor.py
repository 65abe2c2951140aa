"""Studies from the inside: real trainings on one warm slot, real Optuna and SQLite, the test images sealed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import CIFAR10

from search.candidate import from_values
from search.data import cifar10, synthetic
from search.data.sources import find_source
from search.data.split import load as load_split
from search.data.split import stratified
from search.inspecting.status import best_json, read_status
from search.networks.count import cost
from search.planning.catalogue import load
from search.searching import supervisor
from search.searching.progress import Closed, Ended, Opened, Progressed, Retried, Started, Update
from search.searching.request import Search
from search.slots.job import Job
from search.slots.machine import survey
from search.slots.pool import Pool
from studies import StudyError
from studies.history import History, read_history
from studies.storage import storage_url

SMOKE = Path(supervisor.__file__).parents[2] / "spaces" / "smoke.yaml"


class Warm(Pool):
    """Slots that outlive a study and are not measured: starting takes seconds, and so does measuring."""

    def measure(self, job: Job, **_: object) -> float:  # noqa: ARG002
        return 50_000.0

    def __exit__(self, *_: object) -> None:
        for index in self.busy:
            self._replace(index)

    @property
    def pid(self) -> int:
        return self.pids[0]


@pytest.fixture(scope="module", autouse=True)
def slot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """One warm slot for every study of this file, each of which has the same split; no test image can be read."""

    def opened(*_: object) -> None:
        raise AssertionError("the search opened the test images")

    folder = tmp_path_factory.mktemp("slot")
    images = synthetic.training()
    stratified(images.labels, validation=200, seed=0).save(folder / "split.npz")
    settings = survey("cpu", slots=1).settings(find_source("synthetic"), split=folder / "split.npz")
    warm = Warm([replace(setting, threads=1) for setting in settings], log=folder / "slots.log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "Pool", lambda _settings, **_: warm)
        patch.setattr(synthetic, "training", lambda: images)  # making them takes half a second
        patch.setattr(synthetic, "test", opened)
        patch.setattr(cifar10, "load_test", opened)
        yield warm
    warm.close()


def ask(folder: Path, **changes: Any) -> Search:
    search = Search(trials=4, space="smoke", data="synthetic", folder=folder, pruner="none", slots=1, device="cpu")
    return replace(search, **changes)


def run(folder: Path, **changes: Any) -> list[Update]:
    return list(supervisor.run(ask(folder, **changes)))


def stored(folder: Path, study: str = "smoke") -> History:
    return read_history(study, storage=storage_url(folder, None))


def curves(history: History) -> list[list[dict[str, Any]]]:
    """Every number of every epoch, without the time that it took."""
    return [[{**row, "seconds": 0} for row in trial.curve] for trial in history.trials]


def counts(**some: int) -> dict[str, int]:
    return {"complete": 0, "pruned": 0, "failed": 0, "running": 0, "waiting": 0, **some}


def kinds(updates: Sequence[Update], kind: type[Update]) -> list[Any]:
    return [update for update in updates if isinstance(update, kind)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def starts(folder: Path) -> list[list[Update]]:
    """The same command twice, then with more trials."""
    return [run(folder), run(folder), run(folder, trials=6)]


def test_a_study_gets_exactly_its_trials_the_baseline_first(starts: list[list[Update]]) -> None:
    history = starts[0][-1].history  # type: ignore[union-attr]
    assert history.counts == counts(complete=4)
    assert [trial.number for trial in history.trials] == [0, 1, 2, 3]
    assert [trial.baseline for trial in history.trials] == ["tiny", None, None, None]
    assert history.trials[0].values["recipe.learning_rate"] == 2.0
    assert all(len(trial.epochs) == 2 and trial.accuracy == trial.epochs[-1][1] for trial in history.trials)
    assert all({"parameters", "flops", "seconds_per_epoch"} <= trial.attributes.keys() for trial in history.trials)


def test_a_run_tells_every_step_in_order(starts: list[list[Update]]) -> None:
    opened, closed = starts[0][0], starts[0][-1]
    steps = [update for update in starts[0] if isinstance(update, (Started, Progressed, Ended)) and update.number == 1]
    assert isinstance(opened, Opened)
    assert "generated images" in opened.data
    assert "CPU" in opened.machine
    assert [type(step) for step in steps] == [Started, Progressed, Progressed, Ended]
    assert isinstance(closed, Closed)
    assert (closed.signal, closed.put_back) == (None, ())


def test_the_same_command_again_does_nothing_and_says_so(starts: list[list[Update]]) -> None:
    opened, closed = starts[1]
    assert isinstance(opened, Opened)
    assert (opened.history.finished, opened.history.planned) == (4, 4)
    assert opened.seconds == 0
    assert isinstance(closed, Closed)
    assert closed.history.trials == starts[0][-1].history.trials  # type: ignore[union-attr]


def test_more_trials_make_the_study_longer_and_draw_other_values(starts: list[list[Update]], folder: Path) -> None:
    trials = stored(folder).trials
    assert [update.number for update in kinds(starts[2], Started)] == [4, 5]
    assert stored(folder).counts["complete"] == len(trials) == 6
    assert trials[:4] == starts[0][-1].history.trials  # type: ignore[union-attr]
    assert len({str(trial.values) for trial in trials}) == len({trial.seed for trial in trials}) == 6


@pytest.mark.usefixtures("starts")
def test_the_same_seed_gives_the_same_trials_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    run(tmp_path, trials=2)
    again, first = stored(tmp_path), stored(folder)
    assert [(trial.values, trial.seed) for trial in again.trials] == [
        (trial.values, trial.seed) for trial in first.trials[:2]
    ]
    assert curves(again) == curves(first)[:2]


@pytest.mark.usefixtures("starts")
def test_the_split_is_stratified_and_stored_with_its_hash(folder: Path) -> None:
    split = load_split(folder / "smoke" / "split.npz")
    images = synthetic.training()
    assert stored(folder).manifest.split_fingerprint == split.fingerprint
    assert stored(folder).manifest.data_fingerprint == images.fingerprint
    assert len(split.training) + len(split.validation) == len(images)
    assert not {*split.training.tolist()} & {*split.validation.tolist()}
    assert torch.bincount(images.labels[torch.from_numpy(split.validation)]).tolist() == [20] * 10


@pytest.mark.usefixtures("starts")
def test_status_and_best_hold_what_a_program_needs(folder: Path) -> None:
    status = read_status(folder).as_json()
    best = best_json(stored(folder))
    assert {"study", "trials", "best"} <= status.keys()
    assert status["study"] == "smoke"
    assert status["trials"] == counts(complete=6)
    assert {"number", "validation_accuracy"} <= status["best"].keys()
    top = max(stored(folder).trials, key=lambda trial: trial.accuracy or 0)
    assert status["best"]["validation_accuracy"] == best["validation_accuracy"] == top.accuracy
    assert status["best"]["number"] == best["number"]
    assert {"parameters", "flops", "values"} <= best.keys()


@pytest.mark.usefixtures("starts")
def test_without_a_name_status_shows_the_study_that_was_worked_on_last(folder: Path) -> None:
    run(folder, study="later", trials=1)
    assert read_status(folder).history.study == "later"
    assert read_status(folder, study="smoke").history.study == "smoke"
    with pytest.raises(StudyError, match="did you mean 'smoke'"):
        read_status(folder, study="smokey")


def test_a_notebook_may_leave_the_loop_and_come_back(slot: Warm, tmp_path: Path) -> None:
    updates = supervisor.run(ask(tmp_path, trials=2))
    left = next(update for update in updates if isinstance(update, Progressed))
    slot.stop(0)  # it waits for a word; closing would kill it, and starting another takes seconds
    updates.close()  # type: ignore[attr-defined]
    between = stored(tmp_path)
    opened = run(tmp_path, trials=2)[0]
    assert left.number == 0
    assert (between.counts["running"], between.counts["waiting"]) == (0, 1)
    assert isinstance(opened, Opened)
    after = stored(tmp_path)
    assert after.counts == counts(complete=2)
    assert [[row["epoch"] for row in curve] for curve in curves(after)] == [[1, 2], [1, 2]]
    assert after.trials[0].baseline == "tiny"
    assert after.trials[0].values == between.trials[0].values


def test_a_killed_slot_costs_an_attempt_and_not_the_trial(slot: Warm, tmp_path: Path) -> None:
    updates = []
    for update in supervisor.run(ask(tmp_path, trials=3)):
        updates.append(update)
        if isinstance(update, Progressed) and update.number == 1 and not kinds(updates, Retried):
            os.kill(slot.pid, signal.SIGKILL)
    history = stored(tmp_path)
    assert history.counts == counts(complete=3)
    assert [[loss.outcome for loss in trial.losses] for trial in history.trials] == [[], ["crashed"], []]
    (retried,) = kinds(updates, Retried)
    assert (retried.number, "SIGKILL" in retried.message) == (1, True)
    assert [update.number for update in kinds(updates, Started)] == [0, 1, 1, 2]


def test_candidates_over_a_limit_are_told_and_never_trained(tmp_path: Path) -> None:
    limit = cost(from_values(load("smoke").baselines[0].values).architecture, images=CIFAR10).flops
    file = tmp_path / "tight.yaml"
    file.write_text(SMOKE.read_text() + f"constraints:\n  flops: {{max: {limit}}}\n")
    updates = run(tmp_path, space=str(file), trials=8)
    history = stored(tmp_path, "tight")
    infeasible = [trial for trial in history.trials if trial.outcome == "infeasible"]
    assert 0 < len(infeasible) < 8
    assert history.counts == counts(complete=8 - len(infeasible), pruned=len(infeasible))
    assert all(trial.attributes["flops"] > limit and not trial.epochs and not trial.feasible for trial in infeasible)
    started = {update.number for update in kinds(updates, Started)}
    assert started == {trial.number for trial in history.trials if trial.state == "complete"}
    assert "over the limit of the space: flops" in str(infeasible[0].message)


def test_a_limit_on_the_latency_is_measured_on_the_slot_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text(SMOKE.read_text() + "constraints:\n  latency_ms: {max: 1.0e-6}\n")
    run(tmp_path, space=str(file), trials=2)
    history = stored(tmp_path, "slow")
    assert [trial.outcome for trial in history.trials] == ["infeasible"] * 2
    assert all(trial.violations["latency_ms"] > 0 and not trial.epochs for trial in history.trials)


def test_a_study_with_a_cost_prunes_nothing_and_shows_its_front(tmp_path: Path) -> None:
    run(tmp_path, trials=3, cost="latency_ms", pruner=None, epochs=1)
    history = stored(tmp_path)
    assert history.counts["complete"] == 3
    assert history.front
    assert all(trial.attributes["latency_ms"] > 0 for trial in history.front)
    with pytest.raises(StudyError, match="there is no cost 'flop'; did you mean 'flops'"):
        run(tmp_path, trials=3, cost="flop", pruner=None)


def test_a_study_name_that_is_none_leaves_no_trace(tmp_path: Path) -> None:
    for name in ("../outside", f"{tmp_path}/outside"):
        with pytest.raises(StudyError, match="letters, digits"):
            run(tmp_path / "runs", study=name, trials=1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("starts")
def test_time_left_comes_from_the_pace_of_the_finished_trials(folder: Path) -> None:
    status = read_status(folder, study="smoke")
    assert status.seconds_left is None  # nothing runs
    trials = [replace(trial, seconds=10.0) for trial in status.history.trials]
    trials[4:] = [replace(trial, state="running", seconds=None) for trial in trials[4:]]
    working = replace(status, history=replace(status.history, trials=tuple(trials), planned=20))
    assert working.seconds_left == pytest.approx((20 - 4) * 10 / 2)


def test_a_closed_terminal_costs_no_trial(slot: Warm, tmp_path: Path) -> None:
    """It hangs up on every process in front of it at once: the slot's death must not count against the candidate."""
    child = slot.pid

    def hang_up() -> None:
        for pid in (os.getpid(), child):
            os.kill(pid, signal.SIGHUP)
        os.kill(child, signal.SIGCONT)

    updates = []
    for update in supervisor.run(ask(tmp_path, trials=1)):
        updates.append(update)
        if isinstance(update, Started):
            os.kill(child, signal.SIGSTOP)  # so that it is at work when the terminal closes
            threading.Timer(0.3, hang_up).start()

    closed = updates[-1]
    assert isinstance(closed, Closed)
    assert (closed.signal, closed.put_back) == (signal.SIGHUP, (0,))
    assert stored(tmp_path).counts == counts(waiting=1)
