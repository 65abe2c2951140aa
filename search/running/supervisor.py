"""Owns a study on this machine, from its opening until it has its trials, its time is over, or a signal stops it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from search.running.desk import Desk
from search.running.opening import Opening, Search
from search.running.signals import InterruptedSearch, stop_flag
from search.running.slots import TRAINING, Slots
from search.running.stint import AnySlots
from search.running.updates import Closed, Update
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
        study = stack.enter_context(opening.study(known)) if known else None
        if study and study.done:  # neither a slot nor a measurement is needed to say so
            yield opening.told(study, seconds=0)
            yield Closed(history=study.history())
            return
        slots, opening, notes = stack.enter_context(_slots(opening, work=work))
        prediction = opening.predict(slots, images=images, leaving=lambda: flag.signal is not None)
        if flag.signal is not None:
            raise InterruptedSearch(flag.signal)
        note = ""
        if study is None:
            known = opening.known_length(manifest)  # another supervisor may have been quicker
            manifest, note = (known, "") if known else opening.fitted_length(manifest, prediction)
            study = stack.enter_context(opening.study(manifest))
        study.enqueue(opening.queue())
        share = (study.manifest.images or images) / images
        seconds = share * prediction.seconds(trials=study.remaining, epochs=study.manifest.epochs)
        yield opening.told(study, seconds=seconds, notes=(note, *notes))
        desk = Desk(
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


@contextmanager
def _slots(opening: Opening, *, work: str) -> Iterator[tuple[AnySlots, Opening, tuple[str, ...]]]:
    """Processes of this machine, or actors of a Ray cluster, which then is the machine; and what to say of it."""
    search, log = opening.search, opening.folder / "slots.log"
    if search.ray is None:
        settings = opening.machine.settings(opening.source, split=opening.split)
        with Slots(settings, log=log, work=work) as slots:
            yield slots, opening, ()
        return
    from search.running.cluster import cluster_slots  # Ray is an extra

    with cluster_slots(
        opening.source,
        split=opening.split,
        log=log,
        address=search.ray,
        slots=search.slots,
        cpus_per_slot=search.cpus_per_slot,
        gpus_per_slot=search.gpus_per_slot,
        device=search.device,
        work=work,
    ) as on_cluster:
        yield on_cluster, replace(opening, machine=on_cluster.machine), on_cluster.notes
