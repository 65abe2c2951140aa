"""The trainings that a decision rests on: the best trials again with fresh seeds, then the winner on all images."""

import hashlib
import json
import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path
from statistics import fmean
from typing import Literal

import torch

from search.candidate import from_values
from search.data.sources import Source
from search.data.split import load
from search.deciding.calibration import calibrate, write_down
from search.deciding.testing import RetrainedWeights
from search.files import write_whole
from search.measuring.seed_spread import balanced_images, seed_spread
from search.planning.decision_plan import RETRAINED_SHARE, Plan
from search.searching.progress import Resumed
from search.searching.study_folder import StudyFolder
from search.slots.job import Began, Failed, Finished, Job, Unsaved
from search.slots.machine import Machine
from search.slots.pool import TRAINING, Pool
from search.slots.signals import InterruptedSearch, StopFlag
from search.slots.slot_state import BasePool, SlotError, check_blame
from search.training.compiling import Mode
from search.training.evaluate import answering
from search.training.result import EpochResult
from studies.history import History, TrialRecord
from studies.manifest import METRICS

LEAVE = 60.0  # seconds for the slots to keep what they have done: a step of a large network takes long on a slow CPU

Phase = Literal["search", "confirmation", "retraining", "comparison"]


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
    accuracies: tuple[float, ...]  # validation, by the metric of the study, one per seed
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


def train(
    slots: BasePool, jobs: Sequence[Job], *, flag: StopFlag, deadline: float = math.inf
) -> Iterator[tuple[Job, Resumed | EpochResult | Finished | Failed]]:
    """Run all jobs, each from where an earlier start left it, until the deadline (monotonic): their epochs and ends.

    Each epoch is kept beside the checkpoints first, once however often it was trained. Raises SlotError,
    InterruptedSearch.
    """
    kept = {job.name: kept_epochs(job) for job in jobs}
    jobs = [replace(job, reported=len(kept[job.name])) for job in jobs]
    running = slots.run_all(jobs, interrupted=lambda: flag.signal is not None or time.monotonic() > deadline)
    for job, event in chain(running, slots.leave(LEAVE)):
        results = kept[job.name]
        if isinstance(event, Unsaved):
            raise SlotError(event.message)
        if isinstance(event, Began):
            del results[event.epoch :]  # of a lost attempt: they come again
            if event.step or event.rejected:
                yield job, Resumed(number=job.number, epoch=event.epoch, rejected=event.rejected)
        elif isinstance(event, EpochResult):
            results.append(event)
            epochs_file(job).parent.mkdir(parents=True, exist_ok=True)
            write_whole(epochs_file(job), json.dumps([asdict(result) for result in results]).encode())
            yield job, event
        elif isinstance(event, Finished | Failed):
            yield job, event
    if flag.signal is not None:
        raise InterruptedSearch(flag.signal)


def seed_from(*parts: object) -> int:
    """A seed for a training that is no trial, the same whenever the parts are."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4])


def saved_weights(job: Job) -> RetrainedWeights:
    """The weights that a finished job left on the disk."""
    assert job.weights is not None
    sha256 = hashlib.sha256(job.weights.read_bytes()).hexdigest()
    return RetrainedWeights(path=job.weights, seed=job.seed, sha256=sha256)


def epochs_file(job: Job) -> Path:
    """Where the results of a training lie, beside its checkpoints."""
    assert job.checkpoints is not None
    return job.checkpoints / "epochs.json"


def kept_epochs(job: Job) -> list[EpochResult]:
    """What an earlier start kept of a training; nothing where there was none."""
    with suppress(OSError, ValueError, TypeError):
        return [EpochResult(**row) for row in json.loads(epochs_file(job).read_text(encoding="utf-8"))]
    return []


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """All trainings of one decision, with every epoch that they gave; each goes on where an earlier start left it."""

    history: History
    plan: Plan
    machine: Machine
    source: Source
    folder: StudyFolder
    compile: Mode | None
    flag: StopFlag
    work: str = TRAINING
    trained: list[TrainedEpoch] = field(default_factory=list)

    @property
    def seconds_left(self) -> float:
        """Forecast of what no earlier start has done."""
        kept = [
            seconds * share * sum(len(kept_epochs(job)) for job in self._jobs(phase, trial))
            for phase, share in (("confirmation", 1.0), ("retraining", RETRAINED_SHARE))
            for trial, seconds in zip(self.plan.trials, self.plan.epoch_seconds, strict=True)
        ]
        return self.plan.seconds * max(0.0, 1 - sum(kept) / self.plan.work)

    def confirm(self) -> Generator[TrainedEpoch | Resumed, None, Chosen]:
        """Train the best trials again and choose, with fresh seeds: the best of many is partly the luckiest of many."""
        longest_first = sorted(self.plan.trials, key=lambda trial: -trial.attributes["flops"])
        jobs = [job for trial in longest_first for job in self._jobs("confirmation", trial)]
        failures = yield from self._train(jobs, phase="confirmation")
        accuracies: dict[int, list[float]] = {}
        for (trial, _), results in curves(self.trained, "confirmation").items():
            accuracies.setdefault(trial, []).append(getattr(results[-1], self.history.manifest.measure) or 0.0)
        confirmation = tuple(
            Confirmed(trial=row.number, accuracies=tuple(accuracies[row.number]), flops=int(row.attributes["flops"]))
            for row in self.plan.trials
            if row.number not in failures
        )
        if not confirmation:
            raise SlotError(f"none of the candidates could be trained again: {'; '.join(failures.values())}")
        winner = choose(confirmation, images=self._images())
        return Chosen(confirmation=confirmation, winner=winner, dropped=tuple(failures.values()))

    def _images(self) -> float:
        """The validation images or, for a balanced accuracy, as many in equal classes as would vary it as much."""
        validation = load(self.folder.split).validation
        if self.history.manifest.metric == METRICS["accuracy"]:
            return len(validation)
        labels = self.source.training().labels[torch.from_numpy(validation)]
        return balanced_images([count for count in labels.bincount().tolist() if count])

    def retrain(self, winner: TrialRecord) -> Generator[TrainedEpoch | Resumed, None, tuple[RetrainedWeights, ...]]:
        """Train the winner on all training images, once per seed; its confirmed weights calibrate what comes of it."""
        confirmed = [job.weights for job in self._jobs("confirmation", winner) if job.weights]
        of, part = from_values(winner.values).architecture, torch.from_numpy(load(self.folder.split).validation)
        images = self.source.training().take(part).to(self.machine.device)
        precision = self.machine.precision
        answers = [answering(path, images=images, architecture=of, precision=precision)() for path in confirmed]
        calibration = calibrate(torch.cat(answers), images.labels.repeat(len(answers)))
        jobs = self._jobs("retraining", winner)
        failures = yield from self._train(jobs, phase="retraining")
        if failures:
            raise SlotError(f"the winner could not be retrained, the test set stays closed: {failures[winner.number]}")
        weights = tuple(map(saved_weights, jobs))
        write_down(calibration, [*confirmed, *(row.path for row in weights)])
        return weights

    def epochs(self) -> tuple[TrainedEpoch, ...]:
        """Every epoch of every training, those of the search first."""
        length = self.history.manifest.epochs
        searched: list[TrainedEpoch] = []
        for trial in self.history.trials:
            name, number, seed = f"trial {trial.number}", trial.number, trial.seed or 0
            for measured in trial.curve:
                result = EpochResult(epochs=length, **measured)
                searched.append(TrainedEpoch(phase="search", name=name, trial=number, seed=seed, result=result))
        return (*searched, *self.trained)

    def _jobs(self, phase: str, trial: TrialRecord) -> list[Job]:
        final, folder = phase == "retraining", self.folder.retraining
        epochs = self.plan.epochs if final else self.plan.confirm_epochs
        return [
            Job(
                name=f"trial {trial.number}, seed {index}",
                number=trial.number,
                candidate=from_values(trial.values),
                seed=seed_from(self.history.manifest.seed, phase, trial.number, index - 1),  # not one of the search's
                epochs=epochs,
                on_all=final,
                weights=folder / f"{'weights' if final else f'confirmed-{trial.number}'}-{index}.safetensors",
                checkpoints=folder / f"{phase}-{trial.number}-{index}-{epochs}",  # each length has its own
                patience=self.plan.patience,
            )
            for index in range(1, (self.plan.seeds if final else self.plan.confirm_seeds) + 1)
        ]

    def _train(self, jobs: Sequence[Job], *, phase: Phase) -> Generator[TrainedEpoch | Resumed, None, dict[int, str]]:
        """Run the jobs to their ends; returns the failures, by trial. Raises SlotError, DataError."""
        machine = self.machine.with_slots(min(self.machine.slots, len(jobs)))
        settings = machine.settings(self.source, split=self.folder.split, compile=self.compile)
        with Pool(settings, log=self.folder.log, work=self.work) as slots:
            trained, failures = yield from train_kept(slots, jobs, phase=phase, flag=self.flag)
        self.trained.extend(trained)
        return failures


def train_kept(
    slots: BasePool, jobs: Sequence[Job], *, phase: Phase, flag: StopFlag
) -> Generator[TrainedEpoch | Resumed, None, tuple[list[TrainedEpoch], dict[int, str]]]:
    """Run the jobs to their ends, each from where an earlier start left it; returns all epochs, and failures by number.

    Raises SlotError, DataError, InterruptedSearch.
    """
    failures: dict[int, str] = {}
    before: Failed | None = None
    for job, event in train(slots, jobs, flag=flag):
        if isinstance(event, Resumed):
            yield event
        elif isinstance(event, EpochResult):
            yield _trained(phase, job, event)
        elif isinstance(event, Finished):
            before = None
        else:
            if job.number not in failures:  # another seed would fail alike
                check_blame(before, event)
            before = event
            failures[job.number] = f"{job.name}: {event.outcome}, {event.message}"
    return [_trained(phase, job, result) for job in jobs for result in kept_epochs(job)], failures


def _trained(phase: Phase, job: Job, result: EpochResult) -> TrainedEpoch:
    return TrainedEpoch(phase=phase, name=job.name, trial=job.number, seed=job.seed, result=result)


def choose(confirmation: Sequence[Confirmed], *, images: float) -> Confirmed:
    """The candidate of the highest mean, or the cheapest of those that tie with it; of equally cheap ones the best."""
    # Two tie when their means, on so many validation images, differ by at most one standard error of such a difference.
    best = max(row.mean for row in confirmation)
    ties = [row for row in confirmation if best - row.mean <= tie_width(len(row.accuracies), images=images)]
    return min(ties, key=lambda row: (row.flops, -row.mean, row.trial))


def tie_width(seeds: int, *, images: float) -> float:
    """Standard error of the difference of two means over so many seeds, as a fraction."""
    return seed_spread(images) * math.sqrt(2 / seeds)
