"""NVIDIA's MPS daemon of one search: started, met by the slots, stopped; or why not."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from search.data.sources import Source
from search.slots.job_runner import work
from search.slots.machine import DeviceError, Machine
from search.slots.mps import LOGS, PIPES, PROGRAM, sharing

SOURCE = Source(kind="synthetic", folder=None)
GPU = Machine(kind="cuda", name="", gpus=1, cores=8, slots=2, threads=4, precision="bfloat16")
CPU = Machine(kind="cpu", name="", gpus=0, cores=8, slots=2, threads=4, precision="float32")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a fake program of that name was told, and with what environment."""
    program, calls = tmp_path / PROGRAM, tmp_path / "calls"
    program.write_text(
        f'#!/bin/sh\necho "$* [$(cat)] ${PIPES} ${LOGS} seen=$CUDA_VISIBLE_DEVICES" >> {calls}\n'
        '[ -z "$FAKE_TROUBLE" ] || { echo "no device"; exit 1; }\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.delenv(PIPES, raising=False)
    return calls


def test_a_daemon_is_started_for_the_search_alone_and_stopped_at_its_end(calls: Path) -> None:
    with sharing(GPU, slots=2) as shared:
        pipes = shared.pipes
        assert calls.read_text() == f"-d [] {pipes} {pipes} seen=\n"

    assert calls.read_text().splitlines()[1:] == [f" [quit] {pipes} {pipes} seen="]
    assert pipes
    assert not pipes.exists()


def test_a_daemon_that_runs_already_is_used_and_said_so(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIPES, "/run/mps")

    with sharing(GPU, slots=None) as shared:
        assert shared.pipes is None
        assert "runs already (CUDA_MPS_PIPE_DIRECTORY=/run/mps)" in shared.note
    assert not calls.exists()


def test_nothing_is_started_where_no_two_slots_share_a_gpu(calls: Path) -> None:
    with sharing(GPU, slots=1) as shared:
        assert "not started" in shared.note
    assert not calls.exists()


def test_what_keeps_mps_away_is_a_sentence(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="there is none here; leave --mps out"), sharing(CPU, slots=2):
        pass
    monkeypatch.setenv("FAKE_TROUBLE", "yes")
    with pytest.raises(DeviceError, match="does not start: no device; mend that"), sharing(GPU, slots=2):
        pass
    assert calls.exists()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match=f"--mps needs {PROGRAM}, which comes with"), sharing(GPU, slots=2):
        pass


def test_a_slot_meets_the_daemon_that_it_was_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(PIPES, "/somewhere/else")
    (setting,) = replace(CPU, slots=1, threads=1).settings(SOURCE, split=None, mps=tmp_path)

    work(setting)

    assert os.environ[PIPES] == str(tmp_path)
