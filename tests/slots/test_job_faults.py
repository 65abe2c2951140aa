"""A job that cannot go on ends with an event that names the fault: a full disk, no memory, a crash."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from disks import full_disk

from search.errors import DataError, UserError
from search.slots import job_runner
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Began, Event, Failed, Finished, Job, SlotSettings, Unsaved
from search.slots.job_runner import run_job
from search.slots.slot_state import SlotError, check_blame

Run = Callable[..., list[Event]]


def test_a_full_disk_is_unsaved_with_the_path_the_cause_and_the_room(job: Job, run: Run, tmp_path: Path) -> None:
    with full_disk(tmp_path / "disk") as error:
        CheckpointStore(tmp_path / "disk").save(1, b"an earlier one")
        unsaved = run(replace(job, checkpoints=tmp_path / "disk"), 3)[-1]
        assert isinstance(unsaved, Unsaved)
        assert f"cannot write {tmp_path}/disk/step-00000003.ckpt: {os.strerror(error)}; " in unsaved.message
        assert unsaved.message.endswith(" MB are free there")
        assert CheckpointStore(tmp_path / "disk").newest(bytes) == (b"an earlier one", ())


def test_weights_that_cannot_be_written_are_unsaved_and_need_no_training_again(
    job: Job, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    unsaved = run(replace(job, weights=tmp_path / "a file" / "w.safetensors"))[-1]
    assert isinstance(unsaved, Unsaved)
    assert f"cannot write {tmp_path / 'a file'}" in unsaved.message
    began, finished = run(job)
    assert began == Began(epoch=3, step=12)
    assert isinstance(finished, Finished)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), "out-of-memory"),
        (MemoryError(), "out-of-memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), "out-of-memory"),
        (RuntimeError("shape '[64, 10]' is invalid for input of size 5"), "crashed"),
        (OSError(errno.EIO, "a disk that fails in reading the data"), "crashed"),
    ],
)
def test_an_error_is_out_of_memory_or_a_crash_with_its_trace(
    error: Exception, outcome: str, job: Job, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runner, "load_images", Mock(side_effect=error))
    (failed,) = run(job)
    assert isinstance(failed, Failed)
    assert (failed.outcome, failed.message) == (outcome, f"{type(error).__name__}: {error}")
    assert "Traceback" in failed.trace
    assert failed.at_start == (outcome == "crashed")


def test_a_crash_after_a_step_is_not_one_at_the_start(job: Job, slot_settings: SlotSettings) -> None:
    failed = [*run_job(job, Mock(side_effect=RuntimeError), settings=slot_settings)][-1]  # it is asked after a step
    assert isinstance(failed, Failed)
    assert (failed.outcome, failed.at_start) == ("crashed", False)


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        ("RuntimeError: CUDA error", "RuntimeError: CUDA error", SlotError),
        ("DataError: photos is gone", "DataError: photos is gone", DataError),
        ("RuntimeError: CUDA error", "RuntimeError: another", None),
    ],
)
def test_two_that_crash_alike_at_the_start_are_blameless(first: str, second: str, error: type[UserError]) -> None:
    before, failed = (Failed(outcome="crashed", message=each, at_start=True) for each in (first, second))
    check_blame(before, replace(failed, at_start=False))
    check_blame(None, failed)
    with (
        pytest.raises(error, match=rf"first step.*: {first.removeprefix('DataError: ')}; ") if error else nullcontext()
    ):
        check_blame(before, failed)


def test_a_slot_compiles_what_it_trains_as_its_settings_say(
    job: Job, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = Mock(side_effect=lambda network, _mode: network)
    monkeypatch.setattr(job_runner, "compiled", compiled)
    run(job, compile="default")
    assert [call.args[1] for call in compiled.call_args_list] == ["default"]
