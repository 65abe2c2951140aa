"""The trainings that a decision rests on: the best trials again with fresh seeds, then the winner on all images."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.candidate import from_values
from search.data.sources import Source
from search.data.split import load
from search.deciding.confirm import choose
from search.deciding.evidence import Confirmed, Epoch, Phase
from search.planning.decision_plan import Plan
from search.searching.provenance import check_data
from search.slots.job import Failed, Job, Unsaved
from search.slots.machine import Machine
from search.slots.pool import Slots
from search.slots.slot_state import SlotError
from search.training.result import EpochResult
from studies.history import History, TrialRecord

if TYPE_CHECKING:
    from search.training.compiling import Mode


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One epoch of one of the trainings."""

    name: str
    phase: Phase
    result: EpochResult


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """The winner's weights of one seed, with the JSON that describes them beside them."""

    weights: Path
    seed: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """All trainings of one decision, with every epoch that they gave."""

    history: History
    plan: Plan
    machine: Machine
    source: Source
    folder: Path  # of the study
    compile: Mode | None = None
    _epochs: list[Epoch] = field(default_factory=list)

    @property
    def split(self) -> Path:
        return self.folder / "split.npz"

    def check(self) -> None:
        """The images and the split must be those of the search. Raises DataError."""
        check_data(self.history.manifest, study=self.history.study, source=self.source, split=self.split)

    def confirm(self) -> Generator[Trained, None, tuple[tuple[Confirmed, ...], tuple[str, ...]]]:
        """Train the best trials again and choose; returns the confirmation and why candidates were dropped."""
        longest_first = sorted(self.plan.trials, key=lambda trial: -trial.attributes["flops"])
        jobs = [
            self._job("confirmation", trial, index)
            for trial in longest_first
            for index in range(self.plan.confirm_seeds)
        ]
        failed = yield from self._train(jobs, phase="confirmation")
        found = [
            (trial.number, self._final_accuracies(trial.number), int(trial.attributes["flops"]))
            for trial in self.plan.trials
            if trial.number not in failed
        ]
        if not found:
            raise SlotError(f"none of the candidates could be trained again: {'; '.join(failed.values())}")
        return choose(found, images=len(load(self.split).validation)), tuple(failed.values())

    def retrain(self, winner: TrialRecord) -> Generator[Trained, None, tuple[Retrained, ...]]:
        """Train the winner on all training images, once per seed."""
        jobs = [self._job("retraining", winner, index) for index in range(self.plan.seeds)]
        failed = yield from self._train(jobs, phase="retraining")
        if failed:
            raise SlotError(f"the winner could not be retrained, the test set stays closed: {failed[winner.number]}")
        return tuple(
            Retrained(weights=job.weights, seed=job.seed, sha256=hashlib.sha256(job.weights.read_bytes()).hexdigest())
            for job in jobs
            if job.weights
        )

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
        seed = f"{self.history.manifest.seed}/{phase}/{trial.number}/{index}"  # not one that the search used
        weights = self.folder / "retraining" / f"weights-{index + 1}.safetensors"
        final = phase == "retraining"
        return Job(
            name=f"trial {trial.number}, seed {index + 1}",
            number=trial.number,
            candidate=from_values(trial.values),
            seed=int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4]),
            epochs=self.plan.epochs if final else self.plan.confirm_epochs,
            on_all=final,
            weights=weights if final else None,
            patience=self.plan.patience,
        )

    def _train(self, jobs: Sequence[Job], *, phase: Phase) -> Generator[Trained, None, dict[int, str]]:
        """Run the jobs to their ends; returns the failures, by trial."""
        failed: dict[int, str] = {}
        machine = self.machine.for_jobs(len(jobs))
        settings = machine.settings(self.source, split=self.split, compile=self.compile)
        with Slots(settings, log=self.folder / "slots.log") as slots:
            for job, event in slots.run_all(jobs):
                if isinstance(event, EpochResult):
                    self._epochs.append(_epoch(phase, job, event))
                    yield Trained(name=job.name, phase=phase, result=event)
                elif isinstance(event, Failed):
                    failed[job.number] = f"{job.name}: {event.outcome}, {event.message}"
                elif isinstance(event, Unsaved):
                    raise SlotError(event.message)
        return failed

    def _final_accuracies(self, trial: int) -> list[float]:
        rows = [row for row in self._epochs if row.trial == trial and row.phase == "confirmation"]
        return [row.validation_accuracy or 0.0 for row in rows if row.epoch == row.epochs]


def _epoch(phase: Phase, job: Job, result: EpochResult) -> Epoch:
    measured: dict[str, Any] = vars(result)
    return Epoch(phase=phase, trial=job.number, seed=job.seed, **measured)
