"""The trainings that a decision rests on: the best trials again with fresh seeds, then the winner on all images."""

import hashlib
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import fmean
from typing import Literal

from search.candidate import from_values
from search.data.sources import Source
from search.data.split import load
from search.deciding.testing import RetrainedWeights
from search.measuring.seed_spread import seed_spread
from search.planning.decision_plan import Plan
from search.searching.study_folder import StudyFolder
from search.slots.job import Failed, Finished, Job, Paused, Unsaved
from search.slots.machine import Machine
from search.slots.pool import Pool
from search.slots.slot_state import BasePool, SlotError, check_blame
from search.training.compiling import Mode
from search.training.result import EpochResult
from studies.history import History, TrialRecord

Phase = Literal["search", "confirmation", "retraining"]


@dataclass(frozen=True, kw_only=True)
class TrainedEpoch:
    """One epoch of one of the trainings."""

    phase: Phase
    name: str  # of the training, for messages
    trial: int
    seed: int
    result: EpochResult


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """One of the best trials, trained again with fresh seeds."""

    trial: int
    accuracies: tuple[float, ...]  # validation, one per seed
    flops: int

    @property
    def mean(self) -> float:
        """The mean validation accuracy over the seeds."""
        return fmean(self.accuracies)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The choice is frozen; the test set is still closed."""

    confirmation: tuple[Confirmed, ...]
    winner: Confirmed
    dropped: tuple[str, ...] = ()  # candidates whose training failed, and why


def curves(history: Sequence[TrainedEpoch], phase: Phase) -> dict[tuple[int, int], list[EpochResult]]:
    """The epochs of every training of a phase, in order, by trial and seed."""
    rows = sorted((row for row in history if row.phase == phase), key=lambda row: (row.trial, row.seed))
    trainings = groupby(rows, key=lambda row: (row.trial, row.seed))
    return {key: sorted((row.result for row in epochs), key=lambda result: result.epoch) for key, epochs in trainings}


def train(slots: BasePool, jobs: Sequence[Job]) -> Iterator[tuple[Job, EpochResult | Finished | Failed]]:
    """Run all jobs: the epochs and the end of each. Raises SlotError."""
    for job, event in slots.run_all(jobs):
        if isinstance(event, Unsaved | Paused):
            raise SlotError(event.message if isinstance(event, Unsaved) else f"{job.name} did not end")
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
    compile: Mode | None
    _epochs: list[TrainedEpoch] = field(default_factory=list)

    def confirm(self) -> Generator[TrainedEpoch, None, Chosen]:
        """Train the best trials again and choose, with fresh seeds: the best of many is partly the luckiest of many."""
        longest_first = sorted(self.plan.trials, key=lambda trial: -trial.attributes["flops"])
        seeds = range(self.plan.confirm_seeds)
        jobs = [self._job("confirmation", trial, index) for trial in longest_first for index in seeds]
        failures = yield from self._train(jobs, phase="confirmation")
        accuracies: dict[int, list[float]] = {}
        for (trial, _), results in curves(self._epochs, "confirmation").items():
            accuracies.setdefault(trial, []).append(results[-1].validation_accuracy or 0.0)
        confirmation = tuple(
            Confirmed(trial=row.number, accuracies=tuple(accuracies[row.number]), flops=int(row.attributes["flops"]))
            for row in self.plan.trials
            if row.number not in failures
        )
        if not confirmation:
            raise SlotError(f"none of the candidates could be trained again: {'; '.join(failures.values())}")
        winner = choose(confirmation, images=len(load(self.folder.split).validation))
        return Chosen(confirmation=confirmation, winner=winner, dropped=tuple(failures.values()))

    def retrain(self, winner: TrialRecord) -> Generator[TrainedEpoch, None, tuple[RetrainedWeights, ...]]:
        """Train the winner on all training images, once per seed."""
        jobs = [self._job("retraining", winner, index) for index in range(self.plan.seeds)]
        failures = yield from self._train(jobs, phase="retraining")
        if failures:
            raise SlotError(f"the winner could not be retrained, the test set stays closed: {failures[winner.number]}")
        return tuple(map(saved_weights, jobs))

    def epochs(self) -> tuple[TrainedEpoch, ...]:
        """Every epoch of every training, those of the search first."""
        length = self.history.manifest.epochs
        searched: list[TrainedEpoch] = []
        for trial in self.history.trials:
            name, number, seed = f"trial {trial.number}", trial.number, trial.seed or 0
            for measured in trial.curve:
                result = EpochResult(epochs=length, **measured)
                searched.append(TrainedEpoch(phase="search", name=name, trial=number, seed=seed, result=result))
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
        """Run the jobs to their ends; returns the failures, by trial. Raises SlotError, DataError."""
        failures: dict[int, str] = {}
        before: Failed | None = None
        machine = self.machine.with_slots(min(self.machine.slots, len(jobs)))
        settings = machine.settings(self.source, split=self.folder.split, compile=self.compile)
        with Pool(settings, log=self.folder.log) as slots:
            for job, event in train(slots, jobs):
                if isinstance(event, EpochResult):
                    epoch = TrainedEpoch(phase=phase, name=job.name, trial=job.number, seed=job.seed, result=event)
                    self._epochs.append(epoch)
                    yield epoch
                    continue
                if isinstance(event, Failed):
                    if job.number not in failures:  # another seed would fail alike
                        check_blame(before, event)
                    failures[job.number] = f"{job.name}: {event.outcome}, {event.message}"
                before = event if isinstance(event, Failed) else None
        return failures


def choose(confirmation: Sequence[Confirmed], *, images: int) -> Confirmed:
    """The candidate of the highest mean, or the cheapest of those that tie with it."""
    # Two tie when their means, on so many validation images, differ by at most one standard error of such a difference.
    best = max(row.mean for row in confirmation)
    ties = [row for row in confirmation if best - row.mean <= tie_width(len(row.accuracies), images=images)]
    return min(ties, key=lambda row: (row.flops, row.trial))


def tie_width(seeds: int, *, images: int) -> float:
    """Standard error of the difference of two means over so many seeds, as a fraction."""
    return seed_spread(images) * math.sqrt(2 / seeds)
