"""Owns a study on this machine, from its opening until it has its trials, its time is over, or a signal stops it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from search.planning import trial_length as fitting
from search.planning.forecast import Forecast
from search.planning.slot_count import packed
from search.searching.dispatcher import Dispatcher
from search.searching.progress import Closed, Update
from search.searching.setup import Opening, Search
from search.slots.pool import TRAINING, Slots
from search.slots.signals import InterruptedSearch, StopFlag, stop_flag
from search.slots.slot_state import AnySlots
from studies.storage import UnreachableError


def run(search: Search, *, work: str = TRAINING) -> Iterator[Update]:
    """Run or go on with a study; a notebook may loop over this.

    Raises SpaceError, DataError, StudyError, StorageError, DeviceError, SlotError, and InterruptedSearch where a signal
    came before the first trial or while the database was silent. What an error cuts off, the next start takes up.
    """
    start = time.monotonic()
    opening = Opening.of(search)
    with ExitStack() as stack:
        flag = stack.enter_context(stop_flag())
        stack.enter_context(opening.lock())
        manifest, images = opening.manifest()
        known = opening.known_length(manifest)
        study = None
        if known and (search.slots != "auto" or opening.done(known)):  # else it is told of a number that is not known
            study = stack.enter_context(opening.study(known))
        if study and study.done:  # neither a slot nor a measurement is needed to say so
            yield opening.told(study, seconds=0)
            yield Closed(history=study.history())
            return
        log = opening.folder / "slots.log"
        ground = stack.enter_context(grounded(opening, split=opening.split, log=log, work=work, flag=flag))
        opening, slots, prediction, note = ground.opening, ground.slots, ground.predict(images=images), ""
        if study is None:
            known = opening.known_length(manifest)  # another supervisor may have been quicker
            manifest, note = (known, "") if known else fitting.fitted(opening, manifest, prediction)
            study = stack.enter_context(opening.study(manifest))
        study.enqueue(opening.queue())
        seconds = fitting.seconds_of(prediction, study.manifest, trials=study.remaining)
        yield opening.told(study, seconds=seconds, notes=(note, *ground.notes), measured=ground.measured)
        desk = Dispatcher(
            study=study,
            slots=slots,
            space=opening.space,
            forecast=prediction,
            folder=opening.folder,
            flag=flag,
            trial_timeout=search.trial_timeout,
        )
        over, outage = False, None
        try:
            try:
                while flag.signal is None and not over:
                    yield from desk.hand_out()
                    if not slots.busy and (yield from desk.done()):
                        break
                    yield from desk.collect()
                    over = search.timeout is not None and time.monotonic() - start > search.timeout
            except UnreachableError as error:
                outage = error
            put_back = yield from desk.leave()
            if outage:
                raise InterruptedSearch(flag.signal) if flag.signal else outage
            yield Closed(history=study.history(), signal=flag.signal, out_of_time=over, put_back=put_back)
        finally:
            desk.abandon()


@dataclass(frozen=True, kw_only=True)
class MeasuredSlots:
    """Slots that were measured, with the search that they are for."""

    opening: Opening  # its machine is the one that was found
    slots: AnySlots
    trial: fitting.TypicalTrial
    images_per_second: float  # of all slots together on `trial`
    notes: tuple[str, ...]  # what the person should know of them
    measured: tuple[str, ...]  # to choose their number

    def predict(self, *, images: int) -> Forecast:
        """The forecast for epochs of so many images."""
        speed = self.images_per_second
        return fitting.predict(self.opening, self.trial, images_per_second=speed, images=images)


@contextmanager
def grounded(opening: Opening, *, split: Path, log: Path, work: str, flag: StopFlag) -> Iterator[MeasuredSlots]:
    """The slots of a search, their speed measured. Raises StudyError, DeviceError, SlotError, InterruptedSearch."""

    def leaving() -> bool:
        return flag.signal is not None

    trial = fitting.typical(opening.space)
    with (
        packed(opening, trial.job, split=split, log=log, work=work, leaving=leaving) as (chosen, notes, measured),
        _slots(chosen, split=split, log=log, work=work) as (slots, found, more),
    ):
        speed = slots.measure(trial.job, leaving=leaving)
        if flag.signal is not None:
            raise InterruptedSearch(flag.signal)
        yield MeasuredSlots(
            opening=found,
            slots=slots,
            trial=trial,
            images_per_second=speed,
            notes=(*notes, *more),
            measured=measured,
        )


@contextmanager
def _slots(
    opening: Opening, *, split: Path, log: Path, work: str
) -> Iterator[tuple[AnySlots, Opening, tuple[str, ...]]]:
    """Processes of this machine, or actors of a Ray cluster, which then is the machine; and what to say of it."""
    search = opening.search
    if search.ray is None:
        with Slots(opening.settings(opening.machine, split=split), log=log, work=work) as slots:
            yield slots, opening, ()
        return
    from search.cluster.pool import cluster_slots  # Ray is an extra

    with cluster_slots(
        opening.source,
        split=split,
        log=log,
        address=search.ray,
        slots=None if search.slots == "auto" else search.slots,
        cpus_per_slot=search.cpus_per_slot,
        gpus_per_slot=search.gpus_per_slot,
        device=search.device,
        compile=search.compile,
        work=work,
    ) as on_cluster:
        yield on_cluster, replace(opening, machine=on_cluster.machine), on_cluster.notes
