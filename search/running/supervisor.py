"""Owns a study: asks for trials, hands their candidates to slots, reports, decides about pruning, and tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from search.candidate import Candidate
from search.running.examine import examine
from search.running.forecast import Forecast
from search.running.job import LEAST_PATIENCE, Event, Failed, Finished, Job
from search.running.opening import Opening, Search
from search.running.signals import stop_flag
from search.running.slots import Slots
from search.running.updates import Closed, Ended, Progressed, Started, Update, Waited
from search.training.train import EpochResult
from spaces import Space
from studies.history import TrialRecord
from studies.lock import lock
from studies.study import Study

TICK = 0.5  # seconds between two looks at the clock and the signals
PATIENCE = 10  # times the expected seconds of an epoch before a slot counts as hung


def run(search: Search) -> Iterator[Update]:
    """Run or go on with a study until it has its trials or a signal stops it; a notebook may loop over this.

    Raises SpaceError, DataError, StudyError, StorageError, DeviceError, SlotError before the first trial starts.
    """
    opening = Opening.of(search)
    with ExitStack() as stack:
        flag = stack.enter_context(stop_flag())
        stack.enter_context(lock(opening.folder / "lock"))
        manifest, images = opening.manifest()
        known = opening.known_length(manifest)
        study = stack.enter_context(opening.study(known)) if known else None
        if study and not study.remaining:  # neither a slot nor a measurement is needed to say so
            yield opening.told(study, seconds=0)
            yield Closed(history=study.history(), signal=None, put_back=())
            return
        settings = opening.machine.settings(opening.source, split=opening.split)
        slots = stack.enter_context(Slots(settings, log=opening.folder / "slots.log"))
        prediction = opening.predict(slots, images=images)
        note = ""
        if study is None:
            manifest, note = opening.fitted_length(manifest, prediction)
            study = stack.enter_context(opening.study(manifest))
        study.enqueue([(baseline.name, baseline.values) for baseline in opening.space.baselines])
        share = (study.manifest.images or images) / images
        seconds = share * prediction.seconds(trials=study.remaining, epochs=study.manifest.epochs)
        yield opening.told(study, seconds=seconds, note=note)
        desk = Desk(study=study, slots=slots, space=opening.space, forecast=prediction)
        put_back: tuple[int, ...] = ()
        try:
            while flag.signal is None:
                yield from desk.hand_out()
                if not slots.busy:
                    break
                events = slots.events(timeout=TICK)
                if flag.signal is None:  # else a slot may have died of the same signal, which says nothing of its trial
                    yield from desk.collect(events)
        finally:
            put_back = desk.put_back()
        yield Closed(history=study.history(), signal=flag.signal, put_back=put_back)


@dataclass(kw_only=True)
class Running:
    """What the desk remembers of a trial on a slot."""

    violations: Mapping[str, float]
    accuracy: float = 0.0  # after its last epoch


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The supervisor's work on an open study: trials out to the slots, events in from them."""

    study: Study
    slots: Slots
    space: Space
    forecast: Forecast
    running: dict[int, Running] = field(default_factory=dict)  # by trial number

    def hand_out(self) -> Iterator[Update]:
        """Give every idle slot a trial, as far as the study has any left."""
        while self.slots.idle and self.study.remaining > 0:
            asked = self.study.ask(self.space.suggest)
            examined = examine(self.space, asked.values)
            if examined.cost is not None:
                self.study.note(asked.number, **examined.cost.measures())
            if examined.problem or examined.candidate is None or examined.cost is None:
                self.study.fail(
                    asked.number, outcome="infeasible", message=examined.problem, violations=examined.violations
                )
                yield self._ended(asked.number, Failed(outcome="infeasible", message=examined.problem))
                continue
            slot = self.slots.idle[0]
            expected = self.forecast.epoch_seconds(examined.cost.flops, slots=len(self.slots))
            job = Job(
                name=f"trial {asked.number}",
                number=asked.number,
                candidate=examined.candidate,
                seed=asked.seed,
                epochs=self.study.manifest.epochs,
                images=self.study.manifest.images,
                patience=max(LEAST_PATIENCE, PATIENCE * expected),
            )
            self.slots.start(slot, job)
            self.running[asked.number] = Running(violations=examined.violations)
            yield Started(number=asked.number, slot=slot, title=title(examined.candidate, asked.baseline))

    def collect(self, events: Sequence[tuple[int, Job, Event]]) -> Iterator[Update]:
        """Take what the slots said; a moment of silence is an update too."""
        for slot, job, event in events:
            yield from self._take(slot, job.number, event)
        if not events:
            yield Waited()

    def put_back(self) -> tuple[int, ...]:
        """Let the running trials wait for the next start."""
        numbers = tuple(self.running)
        for number in numbers:
            self.study.put_back(number)
        self.running.clear()
        return numbers

    def _take(self, slot: int, number: int, event: Event) -> Iterator[Update]:
        violations = self.running[number].violations
        match event:
            case EpochResult():
                prune = self._report(number, event)
                yield Progressed(number=number, result=event)
                if not prune:
                    self.slots.go_on(slot)
                    return
                self.slots.stop(slot)
                self.study.prune(number, violations=violations)
            case Finished():
                self.study.note(number, **event.numbers())
                self.study.complete(number, self.running[number].accuracy, violations=violations)
            case Failed():
                self.study.fail(number, outcome=event.outcome, message=event.message, violations=violations)
        del self.running[number]
        yield self._ended(number, event)

    def _report(self, number: int, result: EpochResult) -> bool:
        assert result.validation_accuracy is not None, "a trial has a validation part"
        self.running[number].accuracy = result.validation_accuracy
        self.study.note(number, seconds_per_epoch=result.seconds)
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

    def _ended(self, number: int, event: Event) -> Ended:
        failed = event if isinstance(event, Failed) else None
        history = self.study.history()
        if history.best is not None and history.best.number == number:
            self.study.annotate(note(history.best))
        return Ended(
            number=number,
            state=history.trials[number].state,
            outcome=failed.outcome if failed else None,
            message=failed.message if failed else "",
            history=history,
        )


def title(candidate: Candidate, baseline: str | None) -> str:
    """A candidate in a few words."""
    architecture, recipe = candidate.architecture, candidate.recipe
    widths = "/".join(str(width) for width in architecture.width)
    words = f"{architecture.family} {widths}, {recipe.optimizer} {recipe.learning_rate:.3g}, batch {recipe.batch_size}"
    return f"{baseline}: {words}" if baseline else words


def note(best: TrialRecord) -> str:
    """The study's note in the dashboard: its best trial within the limits, which the dashboard cannot know."""
    return (
        f"**Best so far: trial {best.number}**, {100 * (best.accuracy or 0):.2f} % on the validation images, "
        f"{best.attributes['parameters']:,.0f} parameters.\n\n"
        "The best of many is partly the luckiest of many: `cifar-search best --retrain` confirms and tests it."
    )
