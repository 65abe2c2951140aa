"""What a decision keeps of its trainings when a slot is lost or it is cut off itself: each epoch counts once."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import tiny
from scripted_pool import Script, ScriptedPool, epoch, whole

from search.data.sources import Source
from search.data.split import stratified
from search.data.synthetic import training
from search.deciding import trainings
from search.deciding.trainings import TrainedEpoch, Trainings
from search.planning.decision_plan import make_plan
from search.searching.study_folder import StudyFolder
from search.slots.job import Began, Event, Failed, Finished, Job
from search.slots.machine import survey
from search.slots.signals import InterruptedSearch, StopFlag
from studies.history import History, TrialRecord


def record(number: int) -> TrialRecord:
    return TrialRecord(
        number=number, state="complete", values={"architecture.family": "mlp"}, accuracy=number / 10, outcome=None,
        message=None, epochs=(), curve=(), seed=1, baseline=None, violations={}, started=None, seconds=10.0,
        attributes={"flops": 10**6, "seconds_per_epoch": 60.0},
    )  # fmt: skip


@pytest.fixture
def decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Trainings, ScriptedPool]]:
    """The trainings of two candidates, with one seed and two epochs each, on slots that follow a script."""
    folder = StudyFolder(tmp_path, "tiny")
    folder.path.mkdir()
    stratified(training(100).labels, validation=20, seed=0).save(folder.split)
    history = History(study="tiny", manifest=tiny.MANIFEST, planned=2, trials=(record(0), record(1)))
    plan = make_plan(history, images=80, slots=1, minutes=1, epochs=10, candidates=2, confirm_seeds=1, seeds=1)

    def decide(script: Script, flag: StopFlag | None = None) -> tuple[Trainings, ScriptedPool]:
        pool = ScriptedPool(script)
        monkeypatch.setattr(trainings, "Pool", pool)
        machine, source = survey("cpu", slots=1), Source(kind="synthetic", title="generated images")
        given = {"machine": machine, "source": source, "folder": folder, "compile": None}
        return Trainings(history=history, plan=plan, flag=flag or StopFlag(), **given), pool

    return decide


Decide = Callable[..., tuple[Trainings, ScriptedPool]]


def confirm(of: Trainings) -> trainings.Chosen:
    steps = of.confirm()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def test_a_confirmation_whose_slot_was_lost_counts_its_epochs_and_its_score_once(decide: Decide) -> None:
    def lost_once(job: Job) -> Iterator[Event]:
        yield Began()
        yield epoch(job, 1, 0.1)  # then the slot dies, before there is a checkpoint
        yield Began()
        yield from (epoch(job, 1, 0.3), epoch(job, 2, 0.4), Finished())

    of, _ = decide(lost_once)
    choice = confirm(of)

    assert sorted((row.trial, row.result.epoch) for row in of.trained) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert {row.result.validation_accuracy for row in of.trained} == {0.3, 0.4}
    assert [row.accuracies for row in choice.confirmation] == [(0.4,), (0.4,)]


def test_an_interrupted_decision_keeps_its_epochs_and_goes_on_to_the_same_report(decide: Decide) -> None:
    flag = StopFlag()

    def stopped(job: Job) -> Iterator[Event]:
        yield from (Began(), epoch(job, 1))
        flag.signal = signal.SIGTERM

    of, pool = decide(stopped, flag)
    whole_time = of.seconds_left
    with pytest.raises(InterruptedSearch, match="SIGTERM"):
        confirm(of)
    assert pool.left == 1  # the slots were asked to keep what they have done

    def resumed(job: Job) -> Iterator[Event]:
        yield from [Began(epoch=1, step=4), epoch(job, 2), Finished()] if job.reported else whole(job)

    of, pool = decide(resumed)
    assert of.seconds_left < whole_time
    assert [job.reported for job in pool.jobs] == []
    choice = confirm(of)
    assert [job.reported for job in pool.jobs] == [1, 0]  # no checkpoint beyond what is known
    uninterrupted, _ = decide(whole)
    assert (choice, of.trained) == (confirm(uninterrupted), uninterrupted.trained)


def test_epochs_of_a_training_of_another_length_or_of_a_broken_file_are_not_taken(decide: Decide) -> None:
    of, pool = decide(whole)
    confirm(of)
    longer, again = decide(whole)
    longer = replace(longer, plan=replace(longer.plan, confirm_epochs=4), trained=[])
    confirm(longer)
    assert [job.reported for job in again.jobs] == [0, 0]
    for job in pool.jobs:
        trainings.epochs_file(job).write_text(json.dumps([asdict(epoch(job, 1)) | {"mood": 1}]))
    of, pool = decide(whole)
    confirm(of)
    assert [job.reported for job in pool.jobs] == [0, 0]


def test_a_candidate_that_failed_is_named_with_the_reason(decide: Decide) -> None:
    def second_fails(job: Job) -> Iterator[Event]:
        yield from whole(job) if job.number else [Began(), Failed(outcome="diverged", message="the loss is nan")]

    choice = confirm(decide(second_fails)[0])

    assert choice.dropped == ("trial 0, seed 1: diverged, the loss is nan",)
    assert [row.trial for row in choice.confirmation] == [1]


def test_what_is_trained_is_named_as_it_is_told(decide: Decide) -> None:
    of, _ = decide(whole)
    told = [step for step in of.confirm() if isinstance(step, TrainedEpoch)]
    assert told == of.trained


def test_epochs_that_an_older_version_kept_are_taken(decide: Decide) -> None:
    of, pool = decide(whole)
    confirm(of)
    job, row = pool.jobs[0], asdict(epoch(pool.jobs[0], 1))
    del row["validation_balanced_accuracy"]
    trainings.epochs_file(job).write_text(json.dumps([row]))
    assert trainings.kept_epochs(job) == [epoch(job, 1)]
