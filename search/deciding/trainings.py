"""The trainings that a decision rests on: the best trials again with fresh seeds, then the winner on all images."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from search.candidate import from_values
from search.data.sources import Source
from search.data.split import load
from search.deciding.confirm import choose
from search.deciding.evidence import Chosen, Epoch, Phase, RetrainedWeights
from search.planning.decision_plan import Plan
from search.searching.study_folder import StudyFolder
from search.slots.job import Failed, Finished, Job, Unsaved
from search.slots.machine import Machine
from search.slots.pool import Pool
from search.slots.slot_state import BasePool, SlotError
from search.training.result import EpochResult
from studies.history import History, TrialRecord

if TYPE_CHECKING:
    from search.training.compiling import Mode


@dataclass(frozen=True, kw_only=True)
class TrainedEpoch:
    """One epoch of one of the trainings."""

    name: str
    phase: Phase
    result: EpochResult


def train(slots: BasePool, jobs: Sequence[Job]) -> Iterator[tuple[Job, EpochResult | Finished | Failed]]:
    """Run all jobs: the epochs and the end of each. Raises SlotError."""
    for job, event in slots.run_all(jobs):
        if isinstance(event, Unsaved):
            raise SlotError(event.message)
        if isinstance(event, EpochResult | Finished | Failed):
            yield job, event


def seed_from(*parts: object) -> int:
    """A seed for a training that is no trial, the same whenever the parts are."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4])


def saved_weights(job: Job) -> RetrainedWeights:
    """The weights that a finished job left on the disk."""
    assert job.weights is not None
    sha256 = hashlib.sha256(job.weights.read_bytes()).hexdigest()
    return RetrainedWeights(path=job.weights, seed=job.seed, sha256=sha256)


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """All trainings of one decision, with every epoch that they gave."""

    history: History
    plan: Plan
    machine: Machine
    source: Source
    folder: StudyFolder
    compile: Mode | None = None
    _epochs: list[Epoch] = field(default_factory=list)

    def confirm(self) -> Generator[TrainedEpoch, None, Chosen]:
        """Train the best trials again and choose."""
        longest_first = sorted(self.plan.trials, key=lambda trial: -trial.attributes["flops"])
        seeds = range(self.plan.confirm_seeds)
        jobs = [self._job("confirmation", trial, index) for trial in longest_first for index in seeds]
        failures = yield from self._train(jobs, phase="confirmation")
        confirmed = [
            (trial.number, self._final_accuracies(trial.number), int(trial.attributes["flops"]))
            for trial in self.plan.trials
            if trial.number not in failures
        ]
        if not confirmed:
            raise SlotError(f"none of the candidates could be trained again: {'; '.join(failures.values())}")
        confirmation = choose(confirmed, images=len(load(self.folder.split).validation))
        return Chosen(confirmation=confirmation, dropped=tuple(failures.values()))

    def retrain(self, winner: TrialRecord) -> Generator[TrainedEpoch, None, tuple[RetrainedWeights, ...]]:
        """Train the winner on all training images, once per seed."""
        jobs = [self._job("retraining", winner, index) for index in range(self.plan.seeds)]
        failures = yield from self._train(jobs, phase="retraining")
        if failures:
            raise SlotError(f"the winner could not be retrained, the test set stays closed: {failures[winner.number]}")
        return tuple(map(saved_weights, jobs))

    def epochs(self) -> tuple[Epoch, ...]:
        """Every epoch of every training, those of the search first."""
        length = self.history.manifest.epochs
        searched = [
            Epoch(phase="search", trial=trial.number, seed=trial.seed or 0, epochs=length, **measured)
            for trial in self.history.trials
            for measured in trial.curve
        ]
        return (*searched, *self._epochs)

    def _job(self, phase: Phase, trial: TrialRecord, index: int) -> Job:
        final = phase == "retraining"
        return Job(
            name=f"trial {trial.number}, seed {index + 1}",
            number=trial.number,
            candidate=from_values(trial.values),
            seed=seed_from(self.history.manifest.seed, phase, trial.number, index),  # not one that the search used
            epochs=self.plan.epochs if final else self.plan.confirm_epochs,
            on_all=final,
            weights=self.folder.retraining / f"weights-{index + 1}.safetensors" if final else None,
            patience=self.plan.patience,
        )

    def _train(self, jobs: Sequence[Job], *, phase: Phase) -> Generator[TrainedEpoch, None, dict[int, str]]:
        """Run the jobs to their ends; returns the failures, by trial."""
        failures: dict[int, str] = {}
        machine = self.machine.with_slots(min(self.machine.slots, len(jobs)))
        settings = machine.settings(self.source, split=self.folder.split, compile=self.compile)
        with Pool(settings, log=self.folder.log) as slots:
            for job, event in train(slots, jobs):
                if isinstance(event, EpochResult):
                    self._epochs.append(Epoch(phase=phase, trial=job.number, seed=job.seed, **vars(event)))
                    yield TrainedEpoch(name=job.name, phase=phase, result=event)
                elif isinstance(event, Failed):
                    failures[job.number] = f"{job.name}: {event.outcome}, {event.message}"
        return failures

    def _final_accuracies(self, trial: int) -> list[float]:
        rows = [row for row in self._epochs if row.trial == trial and row.phase == "confirmation"]
        return [row.validation_accuracy or 0.0 for row in rows if row.epoch == row.epochs]
