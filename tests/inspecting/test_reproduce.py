"""A trial is trained again from its record alone: the same to the last bit, or it is said where and why it is not."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from search.console.follow import follow_reproduction
from search.inspecting.doctor import examine_study
from search.inspecting.reproduce import (
    ComparedEpoch,
    ReproduceRequest,
    Reproduction,
    ReproductionStart,
    compare_epochs,
    find_record,
    judge,
    reproduce,
)
from search.measuring.seed_spread import seed_spread
from search.searching.provenance import Difference
from search.searching.request import Search
from search.searching.study_folder import StudyFolder
from search.searching.supervisor import run
from search.slots.job import Event, Failed, Finished
from search.slots.machine import DeviceError
from search.training.result import EpochResult
from studies import StudyError
from studies.history import History, TrialRecord, read_history


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with three trials that were really trained."""
    folder = tmp_path_factory.mktemp("runs")
    request = Search(trials=3, space="smoke", data="synthetic", folder=folder, pruner="none", slots=2, device="cpu")
    list(run(replace(request, epochs=2)))
    return folder


@pytest.fixture
def runs(searched: Path, tmp_path: Path) -> Path:
    """A copy of it that may be tampered with."""
    shutil.copytree(searched, tmp_path / "runs")
    return tmp_path / "runs"


def history(runs: Path) -> History:
    return read_history("smoke", storage=f"sqlite:///{runs}/studies.db")


def request(runs: Path, trial: int, **changes: Any) -> ReproduceRequest:
    return replace(ReproduceRequest(trial=trial, folder=runs, data="synthetic"), **changes)


def again(runs: Path, trial: int, **changes: Any) -> Reproduction:
    *_, found = reproduce(request(runs, trial, **changes))
    assert isinstance(found, Reproduction)
    return found


def change(runs: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(runs / "studies.db") as database:
        assert database.execute(statement, values).rowcount == 1
    database.close()


def set_curve(runs: Path, trial: int, rows: Sequence[dict[str, Any]]) -> None:
    statement = "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'curve' AND trial_id = ?"
    change(runs, statement, json.dumps(rows), trial + 1)


def set_start(runs: Path, without: str = "", **changes: str) -> None:
    start = {name: value for name, value in {**history(runs).starts[0], **changes}.items() if name != without}
    change(runs, "UPDATE study_user_attributes SET value_json = ? WHERE key = 'start_0001'", json.dumps(start))


@pytest.mark.parametrize("trial", [0, 1, 2])
def test_a_trial_is_the_same_to_the_last_bit(searched: Path, trial: int) -> None:
    record = history(searched).trials[trial]
    first, *epochs, found = reproduce(request(searched, trial))
    assert isinstance(first, ReproductionStart)
    assert isinstance(found, Reproduction)
    assert (first.differences, found.differences) == ((), ())
    assert (found.verdict, found.confirmed, found.same_checkpoint) == ("equal", True, True)
    assert [row.now for row in found.epochs] == [row.then for row in found.epochs]
    assert [row.now["train_loss"] for row in found.epochs] == [row["train_loss"] for row in record.curve]
    assert [row.now["validation_accuracy"] for row in found.epochs] == [accuracy for _, accuracy in record.epochs]
    assert tuple(epochs) == found.epochs
    assert record == history(searched).trials[trial]
    assert examine_study(searched).findings == ()


@pytest.mark.parametrize("older", [False, True])
def test_a_record_that_was_changed_is_found_out(runs: Path, older: bool) -> None:
    first, second = history(runs).trials[1].curve
    if older:  # than the record of instruction sets
        set_start(runs, without="instruction sets")
    set_curve(runs, 1, [first, {**second, "train_loss": second["train_loss"] * (1 + 1e-12)}])
    found = again(runs, 1)
    assert (found.verdict, found.confirmed) == ("different", False)
    assert found.reason.startswith("the numbers part in epoch 2, though nothing differs")
    assert found.reason.endswith("; the record does not hold its instruction sets") is older
    assert [row.then == row.now for row in found.epochs] == [True, False]


def test_another_number_of_threads_is_shown_and_only_nearness_is_asked_for(runs: Path) -> None:
    here = history(runs).starts[0]
    set_start(runs, threads="3" if here["threads"] != "3" else "2", torch="2.9.1")
    then = history(runs).starts[0]
    first, *_, found = reproduce(request(runs, 1))
    assert isinstance(first, ReproductionStart)
    assert isinstance(found, Reproduction)
    assert f"1 slot of {then['threads']} threads" in first.machine  # as it was, not as this machine would
    assert found.differences == (Difference(name="torch", then="2.9.1", now=here["torch"]),)
    assert found.verdict in ("equal", "within the band")


def test_other_instruction_sets_are_named_and_accuse_nobody(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    found = again(runs, 1)
    (difference,) = found.differences
    assert (difference.name, difference.then) == ("instruction sets", history(runs).starts[0]["instruction sets"])
    assert difference.now.endswith("ATEN_CPU_CAPABILITY=default, ONEDNN_MAX_CPU_ISA=SSE41")
    assert found.confirmed
    assert found.verdict == "equal" or found.reason.endswith("; not as it was then: instruction sets")


def test_a_pruned_trial_is_trained_as_far_as_it_went(runs: Path) -> None:
    set_curve(runs, 2, history(runs).trials[2].curve[:1])
    change(runs, "DELETE FROM trial_intermediate_values WHERE trial_id = 3 AND step = 2")
    change(runs, "UPDATE trials SET state = 'PRUNED' WHERE trial_id = 3")
    found = again(runs, 2)
    assert (found.verdict, found.same_checkpoint, len(found.epochs)) == ("equal", None, 1)
    assert found.reason == "every number of 1 epochs is the same to the last bit"


def test_lost_weights_are_made_again_and_kept(runs: Path) -> None:
    StudyFolder(runs, "smoke").checkpoints(0).clear()
    assert again(runs, 0).kept is None
    assert len(examine_study(runs).findings) == 1
    assert again(runs, 0, keep=True).kept is True
    assert examine_study(runs).findings == ()


def test_other_weights_are_not_kept(runs: Path) -> None:
    change(runs, "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'checkpoint' AND trial_id = 1", '"abcd"')
    before = StudyFolder(runs, "smoke").checkpoints(0).final()
    found = again(runs, 0, keep=True)
    assert (found.verdict, found.same_checkpoint, found.kept) == ("different", False, False)
    assert found.reason.startswith("the numbers part in the final checkpoint")
    assert StudyFolder(runs, "smoke").checkpoints(0).final() == before


def test_the_program_draws_it_and_its_exit_code_is_the_verdict(
    runs: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    words = ("reproduce", "1", "--runs", runs, "--data", "synthetic")
    shutil.rmtree(runs / "smoke")  # as where the database alone was copied
    code, said, _ = call(*words, "--json")
    assert (code, json.loads(said)["verdict"], len(json.loads(said)["epochs"])) == (0, "equal", 2)
    set_curve(runs, 1, [{**row, "train_loss": 1.0} for row in history(runs).trials[1].curve])
    StudyFolder(runs, "smoke").split.unlink()
    code, said, _ = call(*words)
    assert code == 4
    assert "split.npz was missing, and is made again from the data and seed 0: it is the same" in said
    assert "epoch 1: then " in said
    assert "\ndifferent: the numbers part in epoch 1" in said


@pytest.mark.parametrize(
    ("statement", "trial", "said"),
    [
        ("UPDATE trials SET state = 'RUNNING' WHERE trial_id = 2", 1, "trial 1 is running, .* wait for its end"),
        ("UPDATE trials SET state = 'WAITING' WHERE trial_id = 2", 1, "trial 1 is waiting, "),
        ("DELETE FROM trial_user_attributes WHERE key = 'curve' AND trial_id = 2", 1, "no epoch to compare; name ano"),
        ("DELETE FROM trial_user_attributes WHERE key = 'asked' AND trial_id = 2", 1, "no epoch to compare"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(runs: Path, statement: str, trial: int, said: str) -> None:
    change(runs, statement)
    with pytest.raises(StudyError, match=said):
        find_record(history(runs), trial)


def test_a_trial_that_is_not_there_or_was_never_trained_says_why(searched: Path) -> None:
    known = history(searched)
    refused = replace(known.trials[0], state="pruned", outcome="infeasible", message="too big", curve=())
    with pytest.raises(StudyError, match=r"trial 0 is pruned \(infeasible: too big\) and has no epoch"):
        find_record(replace(known, trials=(refused,)), 0)
    for trials, number, said in (
        (known.trials, 3, "its trials are 0 to 2"),
        (known.trials, -1, "its trials are 0 to 2"),
        ((), 0, "none was begun yet"),
    ):
        with pytest.raises(StudyError, match=f"study 'smoke' has no trial {number}; {said}"):
            find_record(replace(known, trials=trials), number)


def test_a_device_that_is_not_here_is_a_sentence(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_start(runs, device="cuda", **{"device name": "NVIDIA H200"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"trial 0 was trained on NVIDIA H200, .* --device cpu"):
        again(runs, 0)
    with pytest.raises(DeviceError, match="known: cpu, cuda"):
        again(runs, 0, device="tpu")


COMPLETE = TrialRecord(
    number=4, state="complete", values={"a": 1}, accuracy=0.5, outcome=None, message=None, epochs=(), seed=1,
    curve=tuple({"epoch": epoch, "train_loss": 1.0, "validation_loss": 1.0, "validation_accuracy": 0.5}
                for epoch in (1, 2)),
    attributes={}, violations={}, baseline=None, started=None, seconds=None, checkpoint="abcd",
)  # fmt: skip
DIVERGED = replace(
    COMPLETE, state="failed", outcome="diverged", message="nan", curve=COMPLETE.curve[:1], checkpoint=None
)
NAN = Failed(outcome="diverged", message="nan")


def epoch(number: int, *, loss: float = 1.0, accuracy: float = 0.5) -> EpochResult:
    return EpochResult(
        epoch=number, epochs=2, train_loss=loss, train_accuracy=0.5, validation_loss=1.0, validation_accuracy=accuracy,
        learning_rate=1.0, seconds=1.0,
    )  # fmt: skip


def finished(checkpoint: str) -> Finished:
    return Finished(
        seconds=1.0, images_per_second=1.0, peak_memory_mb=None, weights_sha256=None, checkpoint_sha256=checkpoint
    )


def compared(record: TrialRecord, events: Sequence[Event]) -> tuple[list[ComparedEpoch], Finished | Failed | None]:
    """What the comparison ends with, which takes every event."""
    remaining = iter(events)
    comparison = compare_epochs(record, remaining)
    try:
        while True:
            next(comparison)
    except StopIteration as stop:
        assert next(remaining, None) is None
        return stop.value  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("record", "events", "verdict", "otherwise"),  # where nothing differs, and where something does
    [
        (COMPLETE, [epoch(1), epoch(2), finished("abcd")], "equal", "equal"),
        (COMPLETE, [epoch(1), epoch(2), finished("ef")], "different", "within the band"),
        (COMPLETE, [epoch(1, accuracy=0.1), epoch(2, accuracy=0.51), finished("ef")], "different", "within the band"),
        (COMPLETE, [epoch(1), epoch(2, accuracy=0.53), finished("ef")], "different", "outside the band"),
        (COMPLETE, [epoch(1), NAN], "different", "outside the band"),
        (replace(COMPLETE, curve=COMPLETE.curve[:1]), [epoch(1), epoch(2)], "different", "outside the band"),
        (replace(COMPLETE, state="pruned"), [epoch(1), epoch(2)], "equal", "equal"),
        (replace(COMPLETE, state="failed", outcome="crashed"), [epoch(1), epoch(2)], "equal", "equal"),
        (DIVERGED, [epoch(1), NAN], "equal", "equal"),
        (DIVERGED, [epoch(1), epoch(2)], "different", "outside the band"),
        (replace(DIVERGED, curve=()), [NAN], "equal", "equal"),
    ],
)
def test_the_verdict(record: TrialRecord, events: Sequence[Event], verdict: str, otherwise: str) -> None:
    epochs, end = compared(record, events)
    same = end.checkpoint_sha256 == record.checkpoint if record.checkpoint and isinstance(end, Finished) else None
    for exact, expected in ((True, verdict), (False, otherwise)):
        assert judge(record, epochs, end, same_checkpoint=same, band=0.02, exact=exact)[0] == expected


def test_the_band_narrows_with_the_images() -> None:
    assert seed_spread(10_000) == pytest.approx(0.0015)
    assert seed_spread(2_500) == pytest.approx(0.003)


def test_then_and_now_are_drawn_where_they_differ() -> None:
    rows, _ = compared(COMPLETE, [epoch(1), epoch(2, loss=1.5)])
    of = {"study": "tiny", "trial": 4, "differences": (Difference(name="threads", then="1", now="2"),)}
    verdict = {"verdict": "within the band", "reason": "0.00 points apart", "band": 0.02, "same_checkpoint": None}
    judged = Reproduction(**of, **verdict, epochs=tuple(rows))
    drawn = io.StringIO()
    steps = [ReproductionStart(**of, machine="CPU", data="images"), *rows, judged]
    assert follow_reproduction(steps, console=Console(file=drawn, width=60)) is judged
    lines = drawn.getvalue().splitlines()
    assert lines[:2] == ["trial 4 of study tiny, again on CPU; images", "threads: 1 -> 2"]
    assert lines[2] == "epoch 1: equal: 50.00 %, train loss 1.000000000, validation loss 1.000000000"
    assert lines[3] == "epoch 2: then 50.00 %, train loss 1.000000000, validation loss 1.000000000"
    assert lines[4] == "         now  50.00 %, train loss 1.500000000, validation loss 1.000000000"
    assert lines[5].startswith("within the band: 0.00 points apart")
