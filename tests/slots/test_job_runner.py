"""A job resumes as if it had never been paused, no checkpoint lies beyond a stored epoch, and each fault has a name."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from malice import malicious
from safetensors.torch import load_file

from search.candidate import Candidate, Fast, Recipe, Transfer
from search.slots import job_runner
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Began, Event, Finished, Job, Paused, SlotSettings
from search.slots.job_runner import Checkpoints, identity, run_job
from search.training import checkpoint
from search.training.result import EpochResult

EPOCHS, STEPS = 3, 12

Run = Callable[..., list[Event]]


@pytest.fixture(scope="module")
def whole(run: Run, tiny_job: Job, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The job of all tests, without checkpoints."""
    return run(replace(tiny_job, weights=tmp_path_factory.mktemp("whole") / "w.safetensors"))


def results(events: list[Event]) -> list[EpochResult]:
    return [replace(event, seconds=0.0) for event in events if isinstance(event, EpochResult)]


def store_of(job: Job) -> CheckpointStore:
    assert job.checkpoints
    return CheckpointStore(job.checkpoints)


def names(job: Job) -> list[str]:
    return [path.name for path in store_of(job).newest_first()]


def finished(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished), events[-1]
    return events[-1]


def began(events: list[Event]) -> Began:
    assert isinstance(events[0], Began), events[0]
    return events[0]


def ends_as(whole: list[Event], events: list[Event]) -> bool:
    """The same weights to the bit, and the same numbers for the epochs that were sent."""
    same = finished(events).weights_sha256 == finished(whole).weights_sha256
    return same and results(events) == results(whole)[EPOCHS - len(results(events)) :]


@pytest.fixture
def paused_twice(job: Job, run: Run) -> Job:
    """A job that was paused in its first epoch and in its second."""
    run(job, 2)
    run(job, 4)
    assert names(job) == ["step-00000005.ckpt", "step-00000002.ckpt"]
    return job


def test_a_job_sends_its_epochs_and_keeps_weights_and_a_final_checkpoint(
    job: Job, run: Run, whole: list[Event]
) -> None:
    events = run(job)
    assert events[0] == whole[0] == Began()
    assert [result.epoch for result in results(events)] == [1, 2, 3]
    assert ends_as(whole, events)
    assert finished(whole).checkpoint_sha256 is None, "without a folder there is no checkpoint"
    assert job.weights
    assert finished(events).weights_sha256 == sha256(job.weights.read_bytes()).hexdigest()
    assert store_of(job).verify_final(finished(events).checkpoint_sha256 or "") is None
    assert names(job) == ["final.ckpt"]
    final = checkpoint.unpack(store_of(job).final(), identity=identity(job))["network"]
    assert all(torch.equal(final[name], tensor) for name, tensor in load_file(job.weights).items())
    assert sorted(path.name for path in job.weights.parent.iterdir()) == ["w.json", "w.safetensors"]


# Other places in each run of the suite, the same in all of its processes.
RANDOM = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))


@pytest.mark.parametrize("looks", [1, 4, 5, 6, *RANDOM.sample(range(7, 14), 2), 14])
def test_paused_at_any_look_it_ends_the_same(looks: int, job: Job, run: Run, whole: list[Event]) -> None:
    """Looks 4, 9 and 14 lie before an evaluation, 5 and 10 behind its answer."""
    first = run(job, looks)
    assert isinstance(first[-1], Paused)
    second = run(job)
    assert second[0] == Began(epoch=looks // 5, step=looks - looks // 5)
    assert results(first) + results(second) == results(whole)
    assert ends_as(whole, second)


def test_paused_between_two_parts_of_a_round_it_ends_the_same(job: Job, run: Run) -> None:
    job = replace(job, epochs=4, epoch_images=60)
    whole = run(replace(job, checkpoints=None))
    for looks in (3, 3, 2):
        assert isinstance(run(job, looks)[-1], Paused)
    assert finished(run(job)).weights_sha256 == finished(whole).weights_sha256


def test_paused_at_the_very_end_it_only_finishes(job: Job, run: Run, whole: list[Event]) -> None:
    run(job, 15)
    events = run(job)
    assert events[:-1] == [Began(epoch=EPOCHS, step=STEPS)]
    assert (finished(events).seconds, finished(events).images_per_second) == (0, None)
    assert ends_as(whole, events)


def test_an_end_that_was_not_recorded_is_sent_again_without_training(job: Job, run: Run) -> None:
    """The slot was killed after its last write, or the supervisor before it could record the end."""
    first, again = finished(run(job)), run(job)
    assert again[:-1] == [Began(epoch=EPOCHS, step=STEPS)]
    assert finished(again).checkpoint_sha256 == first.checkpoint_sha256
    assert finished(again).weights_sha256 == first.weights_sha256


def replace_payload(path: Path, payload: bytes) -> None:
    """As if another payload had been saved there."""
    other = CheckpointStore(path.parent / "other")
    other.save(int(path.stem.removeprefix("step-")), payload)
    next(other.newest_first()).replace(path)
    other.clear()


def flip(job: Job, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def from_another_candidate(job: Job, path: Path) -> None:
    other = replace(job, candidate=replace(job.candidate, recipe=Recipe(weight_decay=0.5)))
    state = checkpoint.unpack(store_of(job).read(path), identity=identity(job))
    replace_payload(path, checkpoint.pack(state, identity=identity(other)))


def of_another_shape(job: Job, path: Path) -> None:
    state = {"epoch": 1, "step": 5, "seconds": 0.0, "network": {}}
    replace_payload(path, checkpoint.pack(state, identity=identity(job)))


def code(job: Job, path: Path) -> None:
    replace_payload(path, malicious(path.parent / "code ran"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip, "cut short or changed"),
        (from_another_candidate, "it is of another training"),
        (of_another_shape, "Error(s) in loading state_dict"),
        (code, "UnpicklingError: "),
    ],
)
def test_from_a_bad_checkpoint_it_goes_back_to_the_one_before_and_ends_the_same(
    paused_twice: Job, run: Run, whole: list[Event], damage: Callable[[Job, Path], None], reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    newest = next(store_of(paused_twice).newest_first())
    damage(paused_twice, newest)
    events = run(paused_twice)
    (rejected,) = began(events).rejected
    assert (began(events).epoch, began(events).step) == (0, 2)
    assert rejected.startswith("step-00000005.ckpt: ")
    assert reason in rejected
    assert ends_as(whole, events)
    assert not (newest.parent / "code ran").exists()


def test_without_a_good_checkpoint_it_begins_anew_and_says_why(paused_twice: Job, run: Run, whole: list[Event]) -> None:
    for path in store_of(paused_twice).newest_first():
        flip(paused_twice, path)
    events = run(paused_twice)
    assert (began(events).step, len(began(events).rejected)) == (0, 2)
    assert ends_as(whole, events)


def test_a_checkpoint_beyond_the_last_known_epoch_is_not_taken(paused_twice: Job, run: Run, whole: list[Event]) -> None:
    """The database was silent while the slot was paused: what was not reported is trained, and sent, again."""
    events = run(replace(paused_twice, reported=0))
    assert (began(events).epoch, began(events).step) == (0, 2)
    assert "it lies beyond epoch 0" in began(events).rejected[0]
    assert [result.epoch for result in results(events)] == [1, 2, 3]
    assert ends_as(whole, events)


def test_validated_once_it_ends_the_same_and_all_validation_images_judge_it(
    job: Job, run: Run, whole: list[Event]
) -> None:
    events = run(replace(job, validated=(3,)))
    assert finished(events).weights_sha256 == finished(whole).weights_sha256
    *first, last = (result.validation_accuracy for result in results(events))
    assert first == [None, None]
    assert last is not None
    assert last * 500 == pytest.approx(round(last * 500)), "a share of the 500 images of the split"


CHANGES = [{"seed": 8}, {"epochs": 4}, {"images": 70}, {"images": None}, {"on_all": True}, {"epoch_images": 64}]


@pytest.mark.parametrize("changes", CHANGES)
def test_a_job_resumes_from_no_other_jobs_checkpoint(job: Job, changes: dict[str, object]) -> None:
    assert identity(replace(job, **changes)) != identity(job)  # type: ignore[arg-type]
    assert identity(replace(job, name="another", number=3, checkpoints=None, weights=None)) == identity(job)


def test_a_job_resumes_from_no_checkpoint_of_other_starting_weights(job: Job, tmp_path: Path) -> None:
    (file := tmp_path / "state.pth").write_bytes(b"one")
    job = replace(job, candidate=replace(job.candidate, architecture=Transfer(weights=str(file))))
    before = identity(job)
    file.write_bytes(b"other")
    assert identity(job) != before


def test_a_stopped_job_has_no_checkpoint_beyond_an_answered_epoch(
    job: Job, slot_settings: SlotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it waits for the answer, the training must send that epoch again; stopped, it writes nothing."""
    monkeypatch.setattr(job_runner, "SHARE", 1e9)
    events = run_job(job, lambda: False, settings=slot_settings)
    for epoch in range(1, EPOCHS + 1):
        while not isinstance(next(events), EpochResult):
            pass
        state, _ = store_of(job).newest(lambda payload: checkpoint.unpack(payload, identity=identity(job)))
        assert (state["epoch"] if state else 0) == epoch - 1
    events.close()  # type: ignore[attr-defined]
    assert names(job) == ["step-00000008.ckpt", "step-00000004.ckpt"]
    assert job.weights
    assert not job.weights.exists()


@pytest.mark.parametrize(("looks", "expected"), [(5, [4]), (6, [4, 5]), (99, [4, 8])])
def test_nothing_is_written_twice(
    job: Job, run: Run, monkeypatch: pytest.MonkeyPatch, looks: int, expected: list[int]
) -> None:
    """Paused just behind a checkpoint, it writes no other; behind the last epoch the final one follows."""
    saved: list[int] = []
    monkeypatch.setattr(job_runner, "SHARE", 1e9)
    monkeypatch.setattr(CheckpointStore, "save", lambda _self, step, _payload: saved.append(step))
    run(job, looks)
    assert saved == expected


@pytest.mark.parametrize(("epoch", "write"), [(1.0, 0.01), (1.0, 0.3), (20.0, 0.3), (0.1, 5.0)])
def test_checkpoints_cost_at_most_their_share_of_the_training(
    epoch: float, write: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By a clock of our own, which only writing moves: epochs and writes of such lengths, in seconds."""
    clock = itertools.count(0.0, write)  # it is read before and after each write
    monkeypatch.setattr(job_runner.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(job_runner, "pack", lambda *_, **__: b"")
    training = Mock(epoch=0, step=0, seconds=0.0, network=torch.nn.Identity())
    kept, written = Checkpoints(training, store=CheckpointStore(tmp_path), identity="it"), 0
    kept.cost = write
    for done in range(1, 501):
        training.epoch, training.step, training.seconds = done, 4 * done, done * epoch
        if kept.affordable():
            kept.save()
            written += 1
        assert written * write <= 0.02 * done * epoch
    assert written >= 0.9 * min(500, int(0.02 * 500 * epoch / write)), "and no fewer than they may be"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_measured_share_of_checkpoints_in_a_realistic_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    made: list[Checkpoints] = []
    monkeypatch.setattr(job_runner, "Checkpoints", lambda *a, **k: made.append(Checkpoints(*a, **k)) or made[0])
    job = Job(name="fast", candidate=Candidate(architecture=Fast(), recipe=Recipe(batch_size=64)), epochs=20)
    seconds = finished(run(replace(job, checkpoints=tmp_path))).seconds
    assert made[0].total_cost / seconds <= 1.5 * job_runner.SHARE, (
        "a write can take longer than the one before, by which it was judged"
    )
