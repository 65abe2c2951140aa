"""The supervisor's work on an open study: trials out to the slots, events in from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from search.candidate import Candidate
from search.inspecting.doctor import checkpoints_of
from search.planning.catalogue import LATENCY
from search.planning.feasibility import Feasibility, examine
from search.planning.forecast import Forecast
from search.searching.progress import Ended, Progressed, Resumed, Retried, Silent, Started, Update, Waited
from search.slots.job import Began, Event, Failed, Finished, Job, Left, Lost, Unsaved, patience
from search.slots.signals import StopFlag
from search.slots.slot_state import AnySlots
from search.training.result import EpochResult
from spaces import Space
from studies import StudyError
from studies.history import TrialRecord
from studies.storage import StorageError, UnreachableError
from studies.study import Asked, Study, TakenError

TICK = 0.5  # seconds between two looks at the clock and the signals
LEAVE = 7.0  # seconds that the slots get to keep what they have done
OUTAGE = 600.0  # seconds that a database may be silent before the search gives up

T = TypeVar("T")


Numbers = dict[str, float]
"""What is known of a running trial: of its network, its latency, its pace; told at its end."""


@dataclass(frozen=True, kw_only=True)
class Dispatcher:
    """Whatever it asks of the study may be asked again: while the database is silent, it is."""

    study: Study
    slots: AnySlots
    space: Space
    forecast: Forecast
    folder: Path  # of the study
    flag: StopFlag
    trial_timeout: float | None = None  # seconds
    running: dict[int, Numbers] = field(default_factory=dict)  # by trial number

    def hand_out(self) -> Iterator[Update]:
        """Give every idle slot a trial, as far as the study has any left."""
        while self.slots.idle and self.flag.signal is None:
            asked = yield from self._surely(lambda: self.study.ask(self.space.suggest))
            if asked is None:
                return
            examined = examine(self.space, asked.values)
            if examined.candidate is None or examined.problem:
                yield from self._refuse(asked, examined)
                continue
            slot = self.slots.idle[0]
            self.slots.start(slot, self._job(asked, examined.candidate, examined.numbers["flops"]))
            self.running[asked.number] = examined.numbers
            yield Started(number=asked.number, slot=slot, title=title(examined.candidate, asked.baseline))

    def collect(self) -> Iterator[Update]:
        """Take what the slots say; a moment of silence is an update too."""
        events = self.slots.events(timeout=TICK)
        for slot, job, event in events:
            try:
                yield from self._take(slot, job.number, event)
            except TakenError as error:  # another supervisor thought this one dead
                self.running.pop(job.number, None)
                if isinstance(event, EpochResult):
                    self.slots.stop(slot)
                yield Retried(number=job.number, message=str(error))
        yield from self._surely(self.study.beat)
        if not events:
            yield Waited()

    def leave(self) -> Generator[Update, None, tuple[int, ...]]:
        """Let every trial keep what it has done and wait for the next start; returns their numbers.

        That the database is silent keeps no slot from keeping what it has done.
        """
        numbers = tuple(self.running)
        for slot in self.slots.busy:
            self.slots.leave(slot)
        deadline = time.monotonic() + LEAVE
        silent = False
        while self.slots.busy and time.monotonic() < deadline:
            try:
                yield from self.collect()
            except UnreachableError:
                silent = True
                break
        while self.slots.busy and time.monotonic() < deadline:
            self.slots.events(timeout=TICK)  # what they say now does not reach the study; the next start repairs it
        if silent:
            self.running.clear()
        self.abandon()
        return numbers

    def abandon(self) -> None:
        """The same without a word to the slots, where an error ends the search; the next start repairs what fails."""
        for number in tuple(self.running):
            with suppress(StudyError):
                self.study.put_back(number)
            del self.running[number]

    def done(self) -> Generator[Update, None, bool]:
        """Whether every trial of the study is finished, those of other supervisors too."""
        return (yield from self._surely(lambda: self.study.done))

    def _take(self, slot: int, number: int, event: Event) -> Iterator[Update]:
        match event:
            case Began():
                self._measured(number, event.latency_ms)
                if event.epoch or event.step or event.rejected:
                    yield Resumed(number=number, epoch=event.epoch, rejected=event.rejected)
            case EpochResult():
                prune = yield from self._surely(lambda: self._report(number, event))
                yield Progressed(number=number, result=event)
                if not prune:
                    self.slots.go_on(slot)
                    return
                self.slots.stop(slot)
                yield from self._end(number, lambda trial: self._prune(number, trial))
            case Finished():
                yield from self._end(number, lambda trial: self._complete(number, trial, event))
            case Failed():
                self._measured(number, event.latency_ms)
                yield from self._end(number, lambda trial: self._fail(number, trial, event))
            case Left():
                yield from self._surely(lambda: self.study.put_back(number))
                del self.running[number]
            case Lost():
                yield from self._lose(number, event)
            case Unsaved():
                yield from self._surely(lambda: self.study.put_back(number))
                del self.running[number]
                raise StorageError(f"{event.message}; make room or name another folder with --runs, and go on")
            case _:
                raise AssertionError(f"a trial says no {event}")

    def _lose(self, number: int, lost: Lost) -> Iterator[Update]:
        """The slot is gone: another attempt, unless there were too many or the whole search is being left."""
        if lost.counts and self.flag.signal is None:
            again = yield from self._surely(lambda: self.study.lose(number, outcome=lost.outcome, message=lost.message))
        else:
            yield from self._surely(lambda: self.study.put_back(number))
            again = True
        del self.running[number]
        if again:
            yield Retried(number=number, message=lost.message)
        else:
            yield from self._ended(number)

    def _refuse(self, asked: Asked, examined: Feasibility) -> Iterator[Update]:
        number, failed = asked.number, Failed(outcome="infeasible", message=examined.problem)
        yield from self._surely(lambda: self._fail(number, examined.numbers, failed))
        yield from self._ended(number)

    def _end(self, number: int, tell: Callable[[Numbers], None]) -> Iterator[Update]:
        trial = self.running[number]
        yield from self._surely(lambda: tell(trial))
        del self.running[number]
        yield from self._ended(number)

    def _ended(self, number: int) -> Iterator[Update]:
        history = yield from self._surely(self.study.history)
        trial = history.trials[number]
        if trial.state != "complete":
            with suppress(OSError):  # what cannot be removed harms nobody; `cifar-search doctor` finds it
                checkpoints_of(self.folder, number).clear()
        if history.best is not None and history.best.number == number:
            best = note(history.best)
            yield from self._surely(lambda: self.study.annotate(best))
        yield Ended(
            number=number, state=trial.state, outcome=trial.outcome, message=trial.message or "", history=history
        )

    def _report(self, number: int, result: EpochResult) -> bool:
        assert result.validation_accuracy is not None, "a trial has a validation part"
        self.running[number]["seconds_per_epoch"] = result.seconds
        return self.study.report(
            number,
            epoch=result.epoch,
            accuracy=result.validation_accuracy,
            validation_loss=result.validation_loss,
            train_loss=result.train_loss,
            train_accuracy=result.train_accuracy,
            learning_rate=result.learning_rate,
            seconds=result.seconds,
        )

    def _measured(self, number: int, latency_ms: float | None) -> None:
        if latency_ms is not None:
            self.running[number]["latency_ms"] = latency_ms

    def _prune(self, number: int, numbers: Numbers) -> None:
        self.study.note(number, **numbers)
        self.study.prune(number, violations=self.space.violations(numbers))

    def _complete(self, number: int, numbers: Numbers, finished: Finished) -> None:
        self.study.complete(
            number,
            violations=self.space.violations(numbers),
            checkpoint=finished.checkpoint_sha256,
            **numbers,
            **finished.numbers(),
        )

    def _fail(self, number: int, numbers: Numbers, failed: Failed) -> None:
        self.study.note(number, **numbers)
        violations = self.space.violations(numbers)
        self.study.fail(number, outcome=failed.outcome, message=failed.message, violations=violations)

    def _job(self, asked: Asked, candidate: Candidate, flops: float) -> Job:
        return Job(
            name=f"trial {asked.number}",
            number=asked.number,
            candidate=candidate,
            seed=asked.seed,
            epochs=self.study.manifest.epochs,
            images=self.study.manifest.images,
            shelf=checkpoints_of(self.folder, asked.number).folder,
            reported=asked.reported,
            patience=patience(self.forecast.epoch_seconds(flops, slots=len(self.slots))),
            limit=self.trial_timeout,
            latency=self.study.manifest.cost == LATENCY or LATENCY in self.space.limits,
            most_latency=self.space.limits.get(LATENCY),
        )

    def _surely(self, call: Callable[[], T]) -> Generator[Update, None, T]:
        """The answer to a call that may be repeated, however long the database is silent, within reason.

        The slots wait for us meanwhile. Raises UnreachableError after OUTAGE seconds or at a signal.
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


def note(best: TrialRecord) -> str:
    """The study's note in the dashboard: its best trial within the limits, which the dashboard cannot know."""
    return (
        f"**Best so far: trial {best.number}**, {100 * (best.accuracy or 0):.2f} % on the validation images, "
        f"{best.attributes['parameters']:,.0f} parameters.\n\n"
        "The best of many is partly the luckiest of many: `cifar-search best --retrain` confirms and tests it."
    )
