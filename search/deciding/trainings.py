"""The trainings that a decision rests on: the best trials again with fresh seeds, then the winner on all images."""

import hashlib
import json
import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal

import torch

from search.candidate import from_values
from search.data.images import Images
from search.data.sources import Source
from search.data.split import load
from search.deciding.calibration import calibrate, write_down
from search.deciding.choice import Chosen, Right, gain
from search.deciding.testing import RetrainedWeights
from search.files import write_whole
from search.measuring.seed_spread import balanced_images
from search.planning.confirmation import Confirmed, choose, first_recipe, suiting_recipe
from search.planning.decision_plan import Plan
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


def missing(jobs: Sequence[Job]) -> float:
    """The share of the epochs of these trainings that no earlier start has kept."""
    return 1 - sum(len(kept_epochs(job)) for job in jobs) / sum(job.epochs or 0 for job in jobs)


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
    _said: dict[int, list[torch.Tensor]] = field(default_factory=dict)

    @property
    def seconds_left(self) -> float:
        """Forecast of what no earlier start has done."""
        plan = self.plan
        finals = {trial.number: missing(self._jobs("retraining", trial)) for trial in plan.trials}
        begun = [trial for trial in plan.trials if finals[trial.number] < 1] or plan.trials
        final = max(finals[row.number] * plan.final_epochs(row) * plan.final_seconds(row) for row in begun)
        confirming = missing([job for trial in plan.trials for job in self._jobs("confirmation", trial)])
        return confirming * plan.confirming_seconds + final

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
        found, recipe = suiting_recipe(self.history, final=self.plan.final_epochs), first_recipe(self.history)
        suiting = found.number if found else None
        winner = choose(confirmation, images=self._images(), suiting=suiting)
        gained = None
        if recipe and any(row.trial == recipe.number for row in confirmation):
            right = {row.trial: self._right(self.history.trials[row.trial]) for row in confirmation}
            gained = gain(confirmation, right, recipe=recipe.number, suiting=suiting)
        return Chosen(confirmation=confirmation, winner=winner, dropped=tuple(failures.values()), gain=gained)

    @cached_property
    def _validation(self) -> Images:
        part = torch.from_numpy(load(self.folder.split).validation)
        return self.source.training().take(part).to(self.machine.device)

    def _answers(self, trial: TrialRecord) -> list[torch.Tensor]:
        """What its confirmed weights say of the validation images, by seed: logits [N, classes]; asked once."""
        if trial.number not in self._said:
            of: Any = {"images": self._validation, "precision": self.machine.precision}
            self._said[trial.number] = [answering(path, **of)() for path in self.confirmed(trial)]
        return self._said[trial.number]

    @property
    def paid_for(self) -> list[Path]:
        """The weights of all confirmations, as far as they are there."""
        return [path for trial in self.plan.trials for path in self.confirmed(trial) if path.exists()]

    def confirmed(self, trial: TrialRecord) -> list[Path]:
        """The weights of its confirmation, by seed."""
        return [job.weights for job in self._jobs("confirmation", trial) if job.weights]

    def _right(self, trial: TrialRecord) -> Right:
        labels = self._validation.labels
        return torch.stack([(answers.argmax(1) == labels).cpu() for answers in self._answers(trial)]).numpy()

    def _images(self) -> float:
        """The validation images or, for a balanced accuracy, as many in equal classes as would vary it as much."""
        if self.history.manifest.metric == METRICS["accuracy"]:
            return len(self._validation)
        return balanced_images([count for count in self._validation.labels.bincount().tolist() if count])

    def retrain(self, winner: TrialRecord) -> Generator[TrainedEpoch | Resumed, None, tuple[RetrainedWeights, ...]]:
        """Train the winner on all training images, once per seed; its confirmed weights calibrate what comes of it."""
        answers = self._answers(winner)
        calibration = calibrate(torch.cat(answers), self._validation.labels.repeat(len(answers)))
        jobs = self._jobs("retraining", winner)
        failures = yield from self._train(jobs, phase="retraining")
        if failures:
            raise SlotError(f"the winner could not be retrained, the test set stays closed: {failures[winner.number]}")
        weights = tuple(map(saved_weights, jobs))
        write_down(calibration, [*self.confirmed(winner), *(row.path for row in weights)])
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
        epochs = self.plan.final_epochs(trial) if final else self.plan.confirm_epochs
        return [
            Job(
                name=f"trial {trial.number}, seed {index}",
                number=trial.number,
                candidate=from_values(trial.values),
                seed=seed_from(self.history.manifest.seed, phase, index - 1),  # the same for each, none of the search's
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
