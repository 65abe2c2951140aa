"""Hands the trials of a study to the slots, and takes in what the slots say."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from search.candidate import Candidate
from search.planning.catalogue import LATENCY
from search.planning.feasibility import examine
from search.planning.forecast import Forecast
from search.searching.progress import Ended, Progressed, Resumed, Retried, Silent, Started, Update, Waited
from search.searching.study_folder import StudyFolder
from search.slots.job import Began, Event, Failed, Finished, Job, Lost, Paused, Unsaved, patience
from search.slots.signals import StopFlag
from search.slots.slot_state import BasePool, check_blame
from search.training.result import EpochResult
from spaces import Space
from studies import StudyError
from studies.storage import StorageError, UnreachableError
from studies.study import EndedElsewhereError, Study

TICK = 0.5  # seconds between two looks at the clock and the signals
LEAVE = 7.0  # seconds that the slots get to keep what they have done
CURVE = (  # stored after each epoch
    "validation_accuracy", "validation_balanced_accuracy", "validation_loss", "train_loss", "train_accuracy",
    "learning_rate", "seconds",
)  # fmt: skip
OUTAGE = 600.0  # seconds that a database may be away before the search gives up

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Dispatcher:
    """Retries each call of the study while the database is unreachable; the slots wait meanwhile."""

    study: Study
    slots: BasePool
    space: Space
    forecast: Forecast
    folder: StudyFolder
    flag: StopFlag
    trial_timeout: float | None = None  # seconds
    validated: tuple[int, ...] = ()  # epochs of a trial after which it is validated and may be pruned; none named: all
    running: dict[int, dict[str, float]] = field(default_factory=dict)  # by trial: what is stored of it at its end
    doubted: dict[int, Failed] = field(default_factory=dict)  # one of them at most, which crashed before its first step

    def hand_out(self) -> Iterator[Update]:
        """Gives every idle slot a trial, as far as the study has any left."""
        while self.slots.idle and self.flag.signal is None:
            asked = yield from self._retried(lambda: self.study.ask(self.space.suggest, misfits=self.space.misfits))
            while self.study.refused:
                yield from self._ended(self.study.refused.pop(0))
            if asked is None:
                return
            feasibility = examine(self.space, asked.values, images=self.study.manifest.shape)
            self.running[asked.number] = feasibility.numbers
            if feasibility.candidate is None or feasibility.problem:
                failed = partial(self.study.fail, outcome="infeasible", message=feasibility.problem)
                yield from self._end(asked.number, failed)
                continue
            slot, manifest, limits = self.slots.idle[0], self.study.manifest, self.space.limits
            job = Job(
                name=f"trial {asked.number}",
                number=asked.number,
                candidate=feasibility.candidate,
                seed=asked.seed,
                epochs=manifest.epochs,
                epoch_images=manifest.images,
                validated=self.validated,
                checkpoints=self.folder.checkpoints(asked.number).folder,
                reported=asked.reported,
                patience=patience(self.forecast.epoch_seconds(feasibility.numbers["flops"], slots=len(self.slots))),
                limit=self.trial_timeout,
                latency=manifest.cost == LATENCY or LATENCY in limits,
                most_latency=limits.get(LATENCY),
            )
            self.slots.start(slot, job)
            yield Started(number=asked.number, slot=slot, title=title(feasibility.candidate, asked.baseline))

    def collect(self) -> Iterator[Update]:
        """Takes what the slots say; a moment without a word is an update too."""
        events = self.slots.events(timeout=TICK)
        for slot, job, event in events:
            try:
                yield from self._take(slot, job.number, event)
            except EndedElsewhereError:
                self.running.pop(job.number, None)
                if isinstance(event, EpochResult):
                    self.slots.stop(slot)
                yield from self._ended(job.number)
            if job.number not in self.running and isinstance(event, EpochResult | Finished | Failed):  # it ended
                yield from self._settle()
        if not events:
            yield Waited()

    def leave(self) -> Generator[Update, None, tuple[int, ...]]:
        """Lets every trial keep what it has done and wait for the next start; returns their numbers.

        The slots keep what they have done even while the database is away.
        """
        numbers = tuple(self.running)
        for slot in self.slots.busy:
            self.slots.pause(slot)
        deadline, reachable = time.monotonic() + LEAVE, True
        while self.slots.busy and time.monotonic() < deadline:
            if not reachable:
                self.slots.events(timeout=TICK)  # it does not reach the study: the next start repairs it
                continue
            try:
                yield from self.collect()
            except UnreachableError:
                reachable = False
                self.running.clear()
        self.abandon()
        return numbers

    def abandon(self) -> None:
        """Lets the trials wait again without a word to the slots, where an error ends the search.

        What fails here, the next start repairs.
        """
        for number in tuple(self.running):
            with suppress(StudyError):
                self.study.put_back(number)
            del self.running[number]

    def done(self) -> Generator[Update, None, bool]:
        """Whether every trial of the study is finished, where no slot is busy."""
        yield from self._settle()
        history = yield from self._retried(self.study.history)
        return history.finished >= history.planned

    def _take(self, slot: int, number: int, event: Event) -> Iterator[Update]:
        if isinstance(event, Began | Failed) and event.latency_ms is not None:
            self.running[number]["latency_ms"] = event.latency_ms
        match event:
            case Began():
                if event.epoch or event.step or event.rejected:
                    yield Resumed(number=number, epoch=event.epoch, rejected=event.rejected)
            case EpochResult():
                prune = False
                if event.validation_accuracy is None:
                    self.running[number]["training_seconds"] = event.seconds  # of an epoch, without a look
                else:
                    prune = yield from self._retried(lambda: self._report(number, event))
                yield Progressed(number=number, result=event)
                if not prune:
                    self.slots.go_on(slot)
                    return
                self.slots.stop(slot)
                yield from self._end(number, self.study.prune)
            case Finished():
                self.running[number] |= event.numbers()
                yield from self._end(number, partial(self.study.complete, checkpoint=event.checkpoint_sha256))
            case Failed(at_start=True):
                check_blame(next(iter(self.doubted.values()), None), event)
                yield from self._settle()
                self.doubted[number] = event
            case Failed():
                yield from self._fail(number, event)
            case Paused():
                yield from self._put_back(number)
            case Lost():
                yield from self._lose(number, event)
            case Unsaved():
                yield from self._put_back(number)
                raise StorageError(f"{event.message}; make room or name another folder with --runs, and go on")
            case _:
                raise AssertionError(f"a trial sends no {event}")

    def _settle(self) -> Iterator[Update]:
        """No other trial ended like the one in doubt, so it failed by itself."""
        while self.doubted:
            number, failed = self.doubted.popitem()
            yield from self._fail(number, failed)

    def _fail(self, number: int, failed: Failed) -> Iterator[Update]:
        yield from self._end(number, partial(self.study.fail, outcome=failed.outcome, message=failed.message))

    def _put_back(self, number: int) -> Iterator[Update]:
        yield from self._retried(lambda: self.study.put_back(number))
        del self.running[number]

    def _lose(self, number: int, lost: Lost) -> Iterator[Update]:
        """The slot is gone: another attempt, unless there were too many or the whole search is being left."""
        if not lost.counts or self.flag.signal is not None:
            yield from self._put_back(number)
            yield Retried(number=number, message=lost.message)
            return
        again = yield from self._retried(lambda: self.study.lose(number, outcome=lost.outcome, message=lost.message))
        del self.running[number]
        if again:
            yield Retried(number=number, message=lost.message)
        else:
            yield from self._ended(number)

    def _end(self, number: int, end: Callable[..., None]) -> Iterator[Update]:
        numbers = self.running[number]
        violations = self.space.violations(numbers, side=self.study.manifest.shape.side)
        with suppress(EndedElsewhereError):
            yield from self._retried(partial(end, number, violations=violations, **numbers))
        del self.running[number]
        yield from self._ended(number)

    def _ended(self, number: int) -> Iterator[Update]:
        history = yield from self._retried(self.study.history)
        trial, best = history.trials[number], history.best
        if trial.state != "complete":
            with suppress(OSError):  # what cannot be removed does no harm; `cifar-search doctor` finds it
                self.folder.checkpoints(number).clear()
        if best is not None and best.number == number:
            yield from self._retried(lambda: self.study.show_best(best))
        message = trial.message or ""
        yield Ended(number=number, state=trial.state, outcome=trial.outcome, message=message, history=history)

    def _report(self, number: int, result: EpochResult) -> bool:
        measured = {name: getattr(result, name) for name in CURVE}
        accuracy = measured[self.study.manifest.measure]
        assert accuracy is not None, "a trial has a validation part"
        self.running[number]["seconds_per_epoch"] = result.seconds
        return self.study.report(number, epoch=result.epoch, accuracy=accuracy, **measured)

    def _retried(self, call: Callable[[], T]) -> Generator[Update, None, T]:
        """The answer to a call, which is repeated while the database is unreachable.

        Raises UnreachableError after OUTAGE seconds or at a signal.
        """
        start = time.monotonic()
        while True:
            try:
                return call()
            except UnreachableError as error:
                silent = time.monotonic() - start
                if self.flag.signal is not None or silent > OUTAGE:
                    raise
                yield Silent(seconds=silent, message=str(error))
                time.sleep(TICK)


def title(candidate: Candidate, baseline: str | None) -> str:
    """A candidate in a few words."""
    architecture, recipe = candidate.architecture, candidate.recipe
    trained = f"{recipe.optimizer} {recipe.learning_rate:.3g}, batch {recipe.batch_size}"
    return f"{baseline}: " * (baseline is not None) + f"{architecture.family} {architecture.title}, {trained}"
