"""Owns a study, from its set-up until it has its trials, its time is over, or a signal stops it."""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from search.description import ImageShape
from search.pictures import Progress
from search.planning.forecast import Forecast, TypicalTrial, typical
from search.planning.hour import final_epochs, outlook
from search.planning.slot_count import find_slot_count
from search.searching.dispatcher import Dispatcher
from search.searching.log import logged
from search.searching.progress import Closed, Update
from search.searching.request import Search
from search.searching.setup import Setup
from search.searching.study_data import keep
from search.searching.study_folder import sweep
from search.slots.pool import TRAINING, Pool
from search.slots.signals import InterruptedSearch, StopFlag, stop_flag
from search.slots.slot_state import BasePool
from studies.algorithms import STARTUP_TRIALS, rungs
from studies.storage import UnreachableError, owned


def run(search: Search, *, progress: Progress | None = None, work: str = TRAINING) -> Iterator[Update]:
    """Runs or continues a study; a notebook may loop over this. `progress` is told of pictures that are decoded.

    Raises SpaceError, DataError, StudyError, StorageError, DeviceError, SlotError, and InterruptedSearch where a signal
    came before the first trial or while the database was away. What an error cuts off, the next start takes up.
    """
    start = time.monotonic()
    setup = Setup.of(search, progress=progress)
    return logged(_run(setup, start=start, work=work), log=setup.folder.search_log)


def _run(setup: Setup, *, start: float, work: str) -> Generator[Update, None, None]:
    search = setup.search
    setup.resumed()  # refuses what it must before anything is made
    with ExitStack() as stack:
        flag = stack.enter_context(stop_flag())
        storage = stack.enter_context(owned(setup.url, study=setup.name))
        stored, manifest, split, settled, carry = setup.resumed()
        written = keep(split, folder=setup.folder)
        restored = written if stored else ()  # of a new study it goes without saying
        if settled and stored and stored.finished >= search.trials:  # neither a slot nor a measurement is needed
            study = setup.study(settled, storage=storage, carry=carry)
            yield setup.opened(study, seconds=0, notes=restored)
            yield Closed(history=study.history())
            return
        images, paths = len(split.training), {"split": setup.folder.split, "log": setup.folder.log}
        measured = stack.enter_context(
            measured_slots(setup, images=images, shape=manifest.shape, **paths, work=work, flag=flag)
        )
        setup, forecast, note = measured.setup, measured.forecast, ""
        if settled is None:
            settled, note = setup.fit(manifest, forecast)
        kind, most = setup.machine.kind, settled.retrain_epochs
        final = final_epochs(forecast, kind=kind, most=most)
        study = setup.study(settled, storage=storage, carry=carry, final_epochs=final)
        sweep(setup.folder, study.history())
        suits = {baseline.name: baseline.epochs for baseline in setup.space.baselines if baseline.epochs}
        known = study.enqueue(setup.queue(), first=search.enqueue, suits=suits)
        left = study.history().remaining
        seconds = forecast.seconds(trials=left, epochs=settled.epochs, images=settled.images)
        notes = (*restored, note, *measured.notes, *known, outlook(final, kind=kind, most=most))
        yield setup.opened(study, seconds=seconds, notes=notes, measured=measured.lines)
        dispatcher = Dispatcher(
            study=study,
            slots=measured.slots,
            space=setup.space,
            forecast=forecast,
            folder=setup.folder,
            flag=flag,
            trial_timeout=search.trial_timeout,
            validated=rungs(setup.pruner, epochs=settled.epochs),
        )
        yield from _until_closed(dispatcher, deadline=None if search.timeout is None else start + search.timeout)


def _until_closed(dispatcher: Dispatcher, *, deadline: float | None) -> Iterator[Update]:
    """Keeps the slots busy until the study has its trials, the deadline is over, or a signal comes."""
    flag, over, outage = dispatcher.flag, False, None
    try:
        try:
            while flag.signal is None and not over:
                yield from dispatcher.hand_out()
                if not dispatcher.slots.busy and (yield from dispatcher.done()):
                    break
                yield from dispatcher.collect()
                over = deadline is not None and time.monotonic() > deadline
        except UnreachableError as error:
            outage = error
        put_back = yield from dispatcher.leave()
        if outage:
            raise InterruptedSearch(flag.signal) if flag.signal else outage
        history = dispatcher.study.history()
        yield Closed(history=history, signal=flag.signal, out_of_time=over, put_back=put_back)
    finally:
        dispatcher.abandon()


@dataclass(frozen=True, kw_only=True)
class MeasuredSlots:
    """Pool whose speed was measured, with the search that they are for."""

    setup: Setup  # its machine is the one that was found
    slots: BasePool
    trial: TypicalTrial
    forecast: Forecast
    notes: tuple[str, ...]  # what the person should know of them, and of the limits of the space
    lines: tuple[str, ...]  # how their number was chosen


@contextmanager
def measured_slots(
    setup: Setup, *, images: int, shape: ImageShape, split: Path, log: Path, work: str, flag: StopFlag
) -> Iterator[MeasuredSlots]:
    """The slots of a search; `images` is the size of the training part, `shape` that of each.

    Raises StudyError, DeviceError, SlotError, ClusterError, InterruptedSearch.
    """
    trial, search = typical(setup.space, images=shape), setup.search
    lines: tuple[str, ...] = ()
    if search.slots == "auto":
        count = find_slot_count(
            setup.machine,
            trial.job,
            settings=lambda machine: machine.settings(setup.source, split=split, compile=search.compile),
            most=search.trials,
            log=log,
            work=work,
            interrupted=lambda: flag.signal is not None,
        )
        setup, lines = replace(setup, machine=setup.machine.with_slots(count.best.slots)), count.lines
    with _slots(setup, split=split, log=log, work=work) as (slots, found, notes):
        speed = slots.measure(trial.job, interrupted=lambda: flag.signal is not None)
        if flag.signal is not None:
            raise InterruptedSearch(flag.signal)
        forecast = Forecast(
            images_per_second=speed,
            flops=trial.flops,
            mean_flops=trial.mean_flops,
            images=images,
            pruner=setup.pruner,
            learning=search.sampler in ("prior", "tpe") and search.trials > STARTUP_TRIALS,
        )
        limits = setup.space.limits_at(shape.side).items()
        grown = [(name, most) for name, most in limits if most > setup.space.limits[name]]
        notes += tuple(
            f"the limit of {name} is {most:,.0f} for pictures of {shape.side} pixels" for name, most in grown
        )
        yield MeasuredSlots(setup=found, slots=slots, trial=trial, forecast=forecast, notes=notes, lines=lines)


@contextmanager
def _slots(setup: Setup, *, split: Path, log: Path, work: str) -> Iterator[tuple[BasePool, Setup, tuple[str, ...]]]:
    """Processes of this machine, or actors of a Ray cluster, which then is the machine; and what to say of it."""
    search = setup.search
    if search.ray is None:
        settings = setup.machine.settings(setup.source, split=split, compile=search.compile)
        with Pool(settings, log=log, work=work) as slots:
            yield slots, setup, ()
        return
    from search.cluster.pool import cluster_slots  # Ray is an extra

    with cluster_slots(
        setup.source,
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
        yield on_cluster, replace(setup, machine=on_cluster.machine), on_cluster.notes
