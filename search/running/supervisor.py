"""Owns a study: asks for trials, hands their candidates to slots, reports, decides about pruning, and tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from search.candidate import Candidate
from search.data.sources import find_source
from search.running.forecast import Forecast
from search.running.job import LEAST_PATIENCE, Event, Failed, Finished, Job
from search.running.machine import survey
from search.running.opening import Search, examine, fitted_length, identity, load, predict, storage_url, stored_epochs
from search.running.signals import stop_flag
from search.running.slots import Slots
from search.running.updates import Closed, Ended, Opened, Progressed, Started, Update, Waited
from search.training.train import EpochResult
from spaces import Space, difference
from studies.history import TrialRecord
from studies.lock import lock
from studies.storage import masked
from studies.study import Study, open_study

PATIENCE = 10  # times the expected seconds of an epoch before a slot counts as hung


def run(search: Search) -> Iterator[Update]:
    """Run or go on with a study until it has its trials or a signal stops it; a notebook may loop over this.

    Raises SpaceError, DataError, StudyError, StorageError, DeviceError, SlotError before the first trial starts.
    """
    space = load(search.space)
    name = search.study or space.name
    folder = search.folder / name
    url = storage_url(search.folder, search.storage)
    machine = survey(search.device, slots=search.slots)
    source = find_source(search.data)
    with ExitStack() as stack:
        flag = stack.enter_context(stop_flag())
        stack.enter_context(lock(folder / "lock"))
        split = folder / "split.npz"
        manifest, images = identity(search, space, source=source, path=split)

        def opened(epochs: int) -> Study:
            study = open_study(
                name,
                storage=url,
                sampler=search.sampler,
                pruner=search.pruner,
                trials=search.trials,
                manifest=replace(manifest, epochs=epochs),
                conditional=space.has_conditions,
                differences=difference,
            )
            return stack.enter_context(study)

        def opening(study: Study, *, seconds: float, note: str = "") -> Opened:
            return Opened(
                study=name,
                space=space.source,
                storage=masked(url),
                machine=machine.title,
                data=source.title,
                epochs=study.manifest.epochs,
                seconds=seconds,
                notes=tuple(filter(None, (note, *study.notes, _recovery(study.recovered)))),
                history=study.history(),
            )

        known = search.epochs or stored_epochs(name, storage=url)
        study = opened(known) if known else None
        if study and not study.remaining:  # neither a slot nor a measurement is needed to say so
            yield opening(study, seconds=0)
            yield Closed(history=study.history(), signal=None, put_back=())
            return
        slots = stack.enter_context(Slots(machine.settings(source, split=split), log=folder / "slots.log"))
        prediction = predict(search, space, slots=slots, images=images)
        note = ""
        if study is None:
            epochs, note = fitted_length(search, space, prediction=prediction)
            study = opened(epochs)
        study.enqueue([(baseline.name, baseline.values) for baseline in space.baselines])
        seconds = prediction.seconds(trials=study.remaining, epochs=study.manifest.epochs)
        yield opening(study, seconds=seconds, note=note)
        desk = Desk(study=study, slots=slots, space=space, forecast=prediction)
        put_back: tuple[int, ...] = ()
        try:
            while flag.signal is None:
                yield from desk.hand_out()
                if not slots.busy:
                    break
                yield from desk.collect()
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
                patience=max(LEAST_PATIENCE, PATIENCE * expected),
            )
            self.slots.start(slot, job)
            self.running[asked.number] = Running(violations=examined.violations)
            yield Started(number=asked.number, slot=slot, title=title(examined.candidate, asked.baseline))

    def collect(self, *, timeout: float = 0.5) -> Iterator[Update]:
        """Take what the slots said; a moment of silence is an update too."""
        events = self.slots.events(timeout=timeout)
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


def _recovery(numbers: tuple[int, ...]) -> str:
    return f"trials {', '.join(map(str, numbers))} were left unfinished and start again" if numbers else ""
