"""A slot's work: taken up without a trace, heard before it is kept, and a full disk is no candidate's fault."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import get_args
from unittest.mock import Mock

import pytest
import torch
from disks import full_disk
from malice import malicious
from safetensors.torch import load_file

from search.candidate import Candidate, Cnn, Fast, Recipe
from search.files import Point
from search.slots import job_runner as work
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Began, Event, Failed, Finished, Job, Left, Unsaved
from search.slots.job_runner import Bench, Checkpoints, identity, run_job
from search.training import checkpoint
from search.training.result import EpochResult

TINY = Candidate(
    architecture=Cnn(stages=2, width=(4, 8), pool=3, dropout=0.1, hidden_layers=0),
    recipe=Recipe(batch_size=20, mixup=0.2, cutout=4),  # four steps an epoch
)
EPOCHS, STEPS = 3, 12


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        name="a test",
        candidate=TINY,
        seed=7,
        epochs=EPOCHS,
        images=80,
        weights=tmp_path / "weights" / "w.safetensors",
        shelf=tmp_path / "shelf",
    )


def never() -> bool:
    return False


def after(looks: int) -> Callable[[], bool]:
    """To be asked to leave at a look: after each step and each answer there is one."""
    counter = itertools.count(1)
    return lambda: next(counter) >= looks


def results(events: list[Event]) -> list[EpochResult]:
    return [replace(event, seconds=0.0) for event in events if isinstance(event, EpochResult)]


def checkpoints_of(job: Job) -> CheckpointStore:
    assert job.shelf
    return CheckpointStore(job.shelf)


@pytest.fixture(scope="module")
def whole(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The job of all tests, without a shelf."""
    folder = tmp_path_factory.mktemp("whole")
    job = Job(name="whole", candidate=TINY, seed=7, epochs=EPOCHS, images=80, weights=folder / "w.safetensors")
    return list(run_job(job, bench, never))


def ends_as(whole: list[Event], events: list[Event]) -> bool:
    """The same weights to the bit, and the same numbers for the epochs that were told again."""
    last, end, told = events[-1], whole[-1], results(events)
    assert isinstance(last, Finished), last
    assert isinstance(end, Finished)
    return last.weights_sha256 == end.weights_sha256 and told == results(whole)[EPOCHS - len(told) :]


@pytest.fixture
def two_checkpoints(job: Job, bench: Bench) -> Job:
    """A job that was left twice, in its first epoch and in its second."""
    list(run_job(job, bench, after(2)))
    list(run_job(job, bench, after(4)))
    assert [path.name for path in checkpoints_of(job).newest_first()] == ["step-00000005.ckpt", "step-00000002.ckpt"]
    return job


def test_a_job_begins_tells_its_epochs_and_finishes_with_what_it_left_on_disk(
    job: Job, bench: Bench, whole: list[Event]
) -> None:
    events = list(run_job(job, bench, never))
    assert events[0] == Began()
    assert [result.epoch for result in results(events)] == [1, 2, 3]
    assert ends_as(whole, events)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert job.weights
    assert finished.weights_sha256 == sha256(job.weights.read_bytes()).hexdigest()
    assert finished.checkpoint_sha256
    assert checkpoints_of(job).verify_final(finished.checkpoint_sha256) is None
    assert [path.name for path in checkpoints_of(job).newest_first()] == ["final.ckpt"]
    final = checkpoint.unpack(checkpoints_of(job).final(), identity=identity(job))["network"]
    weights = load_file(job.weights)
    assert all(torch.equal(final[name], tensor) for name, tensor in weights.items())
    assert sorted(path.name for path in job.weights.parent.iterdir()) == ["w.json", "w.safetensors"]


def test_without_a_shelf_nothing_is_kept(whole: list[Event]) -> None:
    assert whole[0] == Began()
    assert isinstance(whole[-1], Finished)
    assert whole[-1].checkpoint_sha256 is None


# Other places in each run of the suite, the same in all of its processes.
RANDOM = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))


@pytest.mark.parametrize("looks", [1, 4, 5, 6, *RANDOM.sample(range(7, 14), 2), 14, 15])
def test_left_at_any_look_it_ends_the_same(looks: int, job: Job, bench: Bench, whole: list[Event]) -> None:
    """Looks 4, 9 and 14 lie before an evaluation, 5, 10 and 15 behind its answer; 15 is the very end."""
    first = list(run_job(job, bench, after(looks)))
    assert isinstance(first[-1], Left)
    second = list(run_job(job, bench, never))
    assert second[0] == Began(epoch=looks // 5, step=looks - looks // 5)
    assert results(first) + results(second) == results(whole)
    assert ends_as(whole, second)


def test_one_that_has_nothing_left_to_train_only_finishes(job: Job, bench: Bench, whole: list[Event]) -> None:
    list(run_job(job, bench, after(15)))
    began, finished = run_job(job, bench, never)
    assert began == Began(epoch=EPOCHS, step=STEPS)
    assert isinstance(finished, Finished)
    assert (finished.seconds, finished.images_per_second) == (0, None)
    assert ends_as(whole, [began, finished])


def test_an_end_that_nobody_heard_of_is_told_again_without_training(job: Job, bench: Bench, whole: list[Event]) -> None:
    """The slot was killed after its last write, or the supervisor before it could record the end."""
    *_, finished = run_job(job, bench, never)
    began, again = run_job(job, bench, never)
    assert began == Began(epoch=EPOCHS, step=STEPS)
    assert isinstance(again, Finished)
    assert isinstance(finished, Finished)
    assert again.checkpoint_sha256 == finished.checkpoint_sha256
    assert again.weights_sha256 == finished.weights_sha256


def spoil(path: Path, payload: bytes) -> None:
    """Put a payload on the shelf as if it had been saved there."""
    shelf = CheckpointStore(path.parent / "other")
    shelf.save(int(path.stem.removeprefix("step-")), payload)
    next(shelf.newest_first()).replace(path)
    shelf.clear()


def flip(job: Job, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def from_another_candidate(job: Job, path: Path) -> None:
    other = replace(job, candidate=replace(TINY, recipe=replace(TINY.recipe, weight_decay=0.5)))
    state = checkpoint.unpack(CheckpointStore(path.parent).newest()[0] or b"", identity=identity(job))
    spoil(path, checkpoint.pack(state, identity=identity(other)))


def of_another_shape(job: Job, path: Path) -> None:
    spoil(path, checkpoint.pack({"epoch": 1, "step": 5, "seconds": 0.0, "network": {}}, identity=identity(job)))


def code(job: Job, path: Path) -> None:
    spoil(path, malicious(path.parent / "code ran"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip, "cut short or changed"),
        (from_another_candidate, "it is of another training"),
        (of_another_shape, "Error(s) in loading state_dict"),
        (code, "UnpicklingError: Weights only load failed"),
    ],
)
def test_from_a_bad_checkpoint_it_goes_back_to_the_one_before_and_ends_the_same(
    two_checkpoints: Job,
    bench: Bench,
    whole: list[Event],
    damage: Callable[[Job, Path], None],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    newest = next(checkpoints_of(two_checkpoints).newest_first())
    damage(two_checkpoints, newest)
    events = list(run_job(two_checkpoints, bench, never))
    began = events[0]
    assert isinstance(began, Began)
    assert (began.epoch, began.step) == (0, 2)
    assert len(began.rejected) == 1
    assert began.rejected[0].startswith("step-00000005.ckpt: ")
    assert reason in began.rejected[0]
    assert ends_as(whole, events)
    assert not (newest.parent / "code ran").exists()


def test_without_a_good_checkpoint_it_begins_anew_and_says_why(
    two_checkpoints: Job, bench: Bench, whole: list[Event]
) -> None:
    for path in checkpoints_of(two_checkpoints).newest_first():
        flip(two_checkpoints, path)
    events = list(run_job(two_checkpoints, bench, never))
    assert isinstance(events[0], Began)
    assert (events[0].step, len(events[0].rejected)) == (0, 2)
    assert ends_as(whole, events)


@pytest.mark.parametrize("changes", [{"seed": 8}, {"epochs": 4}, {"images": 70}, {"images": None}, {"on_all": True}])
def test_a_job_goes_on_from_no_other_jobs_checkpoint(job: Job, changes: dict[str, object]) -> None:
    assert identity(replace(job, **changes)) != identity(job)  # type: ignore[arg-type]
    assert identity(replace(job, name="another", number=3, shelf=None, weights=None)) == identity(job)


def newest_epoch(job: Job) -> int:
    payload, _ = CheckpointStore(checkpoints_of(job).folder).newest()
    return checkpoint.unpack(payload, identity=identity(job))["epoch"] if payload else 0


def test_no_checkpoint_lies_beyond_an_epoch_that_was_not_heard_of(
    job: Job, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it waits for the answer, the training must tell that epoch again."""
    monkeypatch.setattr(work, "SHARE", 1e9)
    for event in run_job(job, bench, never):
        if isinstance(event, EpochResult):
            assert newest_epoch(job) == event.epoch - 1


@pytest.mark.parametrize(("looks", "expected"), [(5, [4]), (6, [4, 5]), (99, [4, 8])])
def test_nothing_is_written_twice(
    job: Job, bench: Bench, monkeypatch: pytest.MonkeyPatch, looks: int, expected: list[int]
) -> None:
    """Asked to leave just behind a checkpoint, it is there already; behind the last epoch the final one follows."""
    saved: list[int] = []
    monkeypatch.setattr(work, "SHARE", 1e9)
    monkeypatch.setattr(CheckpointStore, "save", lambda _self, step, _payload: saved.append(step))
    list(run_job(job, bench, after(looks)))
    assert saved == expected


def test_told_to_stop_it_writes_nothing_more(job: Job, bench: Bench) -> None:
    events = run_job(job, bench, never)
    while not isinstance(next(events), EpochResult):
        pass
    events.close()  # type: ignore[attr-defined]
    assert list(checkpoints_of(job).newest_first()) == []
    assert job.weights
    assert not job.weights.exists()


@dataclass
class Clock:
    """Seconds that pass only when something is said to take some."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("epoch", "write"), [(1.0, 0.01), (1.0, 0.3), (20.0, 0.3), (0.1, 5.0)])
def test_checkpoints_cost_at_most_their_share_of_the_training(
    epoch: float, write: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By a clock of our own: epochs and writes of such lengths, in seconds."""
    clock = Clock()
    monkeypatch.setattr(work.time, "perf_counter", clock)
    monkeypatch.setattr(work, "pack", lambda *_, **__: clock.passes(write) or b"")
    kept = Checkpoints(shelf=CheckpointStore(tmp_path), identity="it", place=(0, 0), cost=write)
    written = 0
    for done in range(1, 501):
        if kept.affordable(done * epoch):
            kept.save(Mock(epoch=done, step=4 * done))
            written += 1
        assert written * write <= 0.02 * done * epoch
    assert written >= 0.9 * min(500, int(0.02 * 500 * epoch / write)), "and no fewer than they may be"


def test_a_full_disk_is_unsaved_with_the_path_the_cause_and_the_room(job: Job, bench: Bench, tmp_path: Path) -> None:
    with full_disk(tmp_path / "disk") as error:
        shelf = CheckpointStore(tmp_path / "disk")
        shelf.save(1, b"an earlier one")
        *_, unsaved = run_job(replace(job, shelf=shelf.folder), bench, after(3))
        assert isinstance(unsaved, Unsaved)
        assert f"cannot write {shelf.folder}/step-00000003.ckpt: {os.strerror(error)}; " in unsaved.message
        assert unsaved.message.endswith(" MB are free there")
        assert CheckpointStore(shelf.folder).newest() == (b"an earlier one", ())


def test_weights_that_cannot_be_written_are_unsaved_and_need_no_training_again(
    job: Job, bench: Bench, whole: list[Event], tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    *_, unsaved = run_job(replace(job, weights=tmp_path / "a file" / "w.safetensors"), bench, never)
    assert isinstance(unsaved, Unsaved)
    assert f"cannot write {tmp_path / 'a file'}" in unsaved.message
    began, finished = run_job(job, bench, never)
    assert isinstance(began, Began)
    assert began.step == STEPS
    assert ends_as(whole, [began, finished])


def test_a_disk_that_fails_in_reading_the_data_is_still_a_crash(job: Job, bench: Bench, tmp_path: Path) -> None:
    (failed,) = run_job(job, Bench(setting=replace(bench.setting, split=tmp_path / "gone.npz")), never)
    assert isinstance(failed, Failed)
    assert failed.outcome == "crashed"


def test_what_a_slot_does_is_audited_in_order(job: Job, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the whole ends a slot at these names."""
    said: list[str] = []
    monkeypatch.setattr(work.sys, "audit", lambda name, *_: said.append(name.removeprefix("cifar_search.")))
    list(run_job(replace(job, weights=None), bench, after(10)))
    assert [name for name in said if name.startswith("slot")] == ["slot.began", "slot.answered", "slot.answered"]
    assert [name for name in said if name.startswith("checkpoint")][-6:] == [
        f"checkpoint.{point}" for point in get_args(Point)
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_measured_share_of_checkpoints_in_a_realistic_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    costs: list[float] = []
    save = Checkpoints.save

    def watched(self: Checkpoints, training: work.Training) -> None:
        before = self.spent
        save(self, training)
        costs.append(self.spent - before)

    monkeypatch.setattr(Checkpoints, "save", watched)
    job = Job(name="fast", candidate=Candidate(architecture=Fast(), recipe=Recipe(batch_size=64)), epochs=20)
    *_, finished = run_job(replace(job, shelf=tmp_path), bench, never)
    assert isinstance(finished, Finished)
    share = sum(costs) / finished.seconds
    with capsys.disabled():
        print(
            f"\n{len(costs)} checkpoints of {1000 * sum(costs) / len(costs):.1f} ms in {finished.seconds:.1f} s of"
            f" training: {100 * share:.2f} %"
        )
    assert share <= 1.5 * work.SHARE, "a write can take longer than the one before, by which it was judged"


def test_a_checkpoint_beyond_the_last_known_epoch_is_not_taken(
    two_checkpoints: Job, bench: Bench, whole: list[Event]
) -> None:
    """The database was silent while the slot was left: what was not reported is trained, and told, again."""
    events = list(run_job(replace(two_checkpoints, reported=0), bench, never))

    began = events[0]
    assert isinstance(began, Began)
    assert (began.epoch, began.step) == (0, 2)
    assert "it lies beyond epoch 0" in began.rejected[0]
    assert [result.epoch for result in results(events)] == [1, 2, 3]
    assert ends_as(whole, events)


def test_a_slot_compiles_what_it_trains_as_its_setting_says(
    bench: Bench, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str | None] = []

    def compiled(network: torch.nn.Module, mode: str | None) -> torch.nn.Module:
        modes.append(mode)
        return network

    monkeypatch.setattr(work, "compiled", compiled)
    list(run_job(job, replace(bench, setting=replace(bench.setting, compile="default")), never))

    assert modes == ["default"]
