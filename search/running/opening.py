"""What is settled before the first trial: the space, the data, the split, the length, the forecast."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from random import Random

from search.candidate import Value, from_values
from search.data import split as splits
from search.data.cifar10 import fingerprint
from search.data.sources import Source, find_source
from search.running.carrying import find_carry, placed
from search.running.doctor import sweep
from search.running.examine import examine, fetch_weights
from search.running.forecast import Forecast
from search.running.job import Job, Leaving
from search.running.known import MEASURES, families, load
from search.running.machine import Machine, survey
from search.running.provenance import PACKAGES, provenance
from search.running.stint import AnySlots
from search.running.updates import Opened
from spaces import Space, difference
from spaces.baselines import find_baseline
from studies import StudyError, unknown
from studies.carried import Carry, carried_from
from studies.history import known_manifest, read_history
from studies.lock import lock
from studies.manifest import Manifest
from studies.pruners import make_pruner
from studies.samplers import STARTUP_TRIALS, make_sampler
from studies.storage import masked, opened, shareable, storage_url, warn_of_password
from studies.study import Study, check_name, open_study

MEAN_DRAWS = 64  # random networks of the space whose mean size stands for a trial
LENGTH = 8  # epochs of a trial, where neither the space file nor the person says
RETRAIN = 4  # times as long is the final training, where the space file does not say


def seconds(text: str | None, option: str) -> float | None:
    """90s, 30m or 2h in seconds; a bare number is seconds. Raises StudyError."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise StudyError(f"{option} is a time such as 90s, 30m or 2h, not {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a person asks for; the command line's options and their defaults."""

    trials: int = 50  # in total, over all starts
    space: str = "fast"  # a shipped space's name, or a file
    study: str | None = None  # the space's name unless given
    folder: Path = Path("runs")
    storage: str | None = None  # studies.db in the folder unless given
    data: str | None = None
    sampler: str = "tpe"
    pruner: str | None = None  # median, or none where a cost forbids it, unless given
    cost: str | None = None  # a measure to make small beside the accuracy
    enqueue: tuple[str, ...] = ()  # published recipes that a new study tries first
    carry_over: str | None = None  # a study whose trials a new one starts with, where they lie in its space
    slots: int | None = None
    epochs: int | None = None  # the space's own length, shortened to `minutes`, unless given
    minutes: float = 50.0  # that the search should take, within reason
    seed: int = 0
    device: str | None = None
    ray: str | None = None  # the address of a cluster, or auto; without, the slots are processes of this machine
    cpus_per_slot: int = 1  # on a cluster
    gpus_per_slot: float | None = None  # likewise: a whole one where there are any, unless given
    timeout: float | None = None  # seconds of this start
    trial_timeout: float | None = None  # seconds of an attempt at a trial

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("epochs", 1), ("seed", 0), ("timeout", 1), ("trial_timeout", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise StudyError(f"--{name.replace('_', '-')} must be at least {least}, not {value:g}")


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A search with what it runs on."""

    search: Search
    space: Space
    machine: Machine
    source: Source

    @classmethod
    def of(cls, search: Search) -> Opening:
        """Raises SpaceError, DeviceError, DataError, WeightsError, and StudyError for a name that is not fit."""
        opening = cls(
            search=search,
            space=load(search.space),
            machine=survey(None if search.ray else search.device, slots=search.slots),
            source=find_source(search.data),
        )
        check_name(opening.name)
        if search.carry_over == opening.name:
            raise StudyError(f"study {opening.name!r} has its own trials already; name the new one with --study OTHER")
        if search.carry_over is not None:
            check_name(search.carry_over)
        make_sampler(search.sampler, seed=0, trials=search.trials, conditional=opening.space.has_conditions)
        if search.cost is not None and search.cost not in MEASURES:
            raise unknown("cost", search.cost, MEASURES)
        opening.queue()
        fetch_weights(opening.space)
        make_pruner(opening.pruner, trials=search.trials, epochs=search.epochs or LENGTH, cost=search.cost)
        return opening

    @property
    def name(self) -> str:
        return self.search.study or self.space.name

    @property
    def pruner(self) -> str:
        return self.search.pruner or ("none" if self.search.cost else "median")

    @property
    def folder(self) -> Path:
        return self.search.folder / self.name

    @property
    def split(self) -> Path:
        return self.folder / "split.npz"

    @property
    def url(self) -> str:
        return storage_url(self.search.folder, self.search.storage)

    def queue(self) -> list[tuple[str, dict[str, Value]]]:
        """What a new study tries first, as it keeps them: the space's baselines, then the published ones asked for.

        Raises SpaceError for an unknown name, StudyError for one that the space does not hold.
        """
        named = [(baseline.name, baseline.values) for baseline in self.space.baselines]
        named += [(name, self._published(name)) for name in self.search.enqueue]
        return [(name, self.space.stored(values)) for name, values in named]

    def _published(self, name: str) -> Mapping[str, Value]:
        published = find_baseline(name, families=families())
        values, problems = placed(from_values(published.values), space=self.space)
        if problems:
            raise StudyError(
                f"baseline {name} is not in space {self.space.name}, so a study of it cannot try it:\n  "
                + "\n  ".join(problems)
                + f"\ntrain it alone with `cifar-search baseline {name}`, or name a space that holds it"
            )
        return values

    def lock(self) -> AbstractContextManager[None]:
        """Keeps a second supervisor away, unless the storage lets several share a study."""
        return lock(self.folder / "lock", shared=shareable(self.url))

    def manifest(self) -> tuple[Manifest, int]:
        """What identifies the study, its length still open, and its training images; makes the split if need be."""
        images = self.source.training()
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.split.exists():
            given = self.search.folder / (self.search.carry_over or "") / "split.npz"
            if self.search.carry_over and given.exists():  # on another split no trial could be carried over
                split = splits.load(given)
            else:
                split = splits.usual(images.labels, seed=self.search.seed)
            split.save(self.split)
        split = splits.load(self.split)
        length = self.search.epochs or LENGTH
        manifest = Manifest(
            space_name=self.space.name,
            space=self.space.canonical(),
            space_fingerprint=self.space.fingerprint,
            split_fingerprint=split.fingerprint,
            data_fingerprint=fingerprint(images),
            seed=self.search.seed,
            epochs=length,
            retrain_epochs=self.space.length.retrain if self.space.length else RETRAIN * length,
            cost=self.search.cost,
            versions={package: version(package) for package in PACKAGES},
        )
        return manifest, len(split.training)

    def known_length(self, manifest: Manifest) -> Manifest | None:
        """The manifest with the length that was asked for or that the study has; None if it is still to be found.

        Raises StorageError.
        """
        with opened(self.url):
            pass  # makes the database, or says at once what is wrong with it
        stored = known_manifest(self.name, storage=self.url)
        if stored is None and self.search.carry_over:
            stored = read_history(self.search.carry_over, storage=self.url).manifest
        if stored is None:
            return manifest if self.search.epochs else None
        return replace(manifest, epochs=self.search.epochs or stored.epochs, images=stored.images)

    def study(self, manifest: Manifest) -> Study:
        """The study, created or resumed. Raises StudyError, StorageError."""
        study = open_study(
            self.name,
            storage=self.url,
            sampler=self.search.sampler,
            pruner=self.pruner,
            trials=self.search.trials,
            manifest=manifest,
            conditional=self.space.has_conditions,
            differences=difference,
            provenance={
                **provenance(self.machine, source=self.source, manifest=manifest),
                "sampler": self.search.sampler,
                "pruner": self.pruner,
                "description": self.space.description,
                **({"length": f"{length.trial} {length.retrain}"} if (length := self.space.length) else {}),
            },
            carry=self.carry(manifest),
        )
        sweep(self.folder, study.history(), alone=not shareable(self.url))
        return study

    def carry(self, manifest: Manifest) -> Carry | None:
        """What a new study is given of another one; None where it has that, or nothing was asked for.

        Raises StudyError, StorageError.
        """
        old = self.search.carry_over
        if old is None or carried_from(self.name, storage=self.url) == old:
            return None
        return find_carry(old, space=self.space, manifest=manifest, storage=self.url)

    def predict(self, slots: AnySlots, *, images: int, leaving: Leaving) -> Forecast:
        """Measure all slots at once on the space's first baseline, or on its first draw that may be trained."""
        draws = [examine(self.space, self.space.sample(rng)) for rng in map(Random, range(MEAN_DRAWS))]
        baselines = [examine(self.space, baseline.values) for baseline in self.space.baselines]
        known = next((drawn for drawn in (*baselines, *draws) if not drawn.problem), None)
        if known is None or known.candidate is None or known.cost is None:
            raise StudyError(f"none of {MEAN_DRAWS} draws of {self.space.source} may be trained: {draws[0].problem}")
        feasible = [drawn.cost.flops for drawn in draws if drawn.cost is not None and not drawn.problem]
        return Forecast(
            images_per_second=slots.measure(Job(name="the forecast", candidate=known.candidate), leaving=leaving),
            flops=known.cost.flops,
            mean_flops=sum(feasible) / len(draws),  # a draw that is over a limit costs nothing
            images=images,
            pruning=self.pruner != "none",
            learning=self.search.sampler == "tpe" and self.search.trials > STARTUP_TRIALS,
        )

    def fitted_length(self, manifest: Manifest, prediction: Forecast) -> tuple[Manifest, str]:
        """The manifest of a new study: the space's own length, shortened to fit the time, and what to say of it."""
        own = self.space.length.trial if self.space.length else LENGTH
        minutes = self.search.minutes
        fitted = prediction.fit(trials=self.search.trials, epochs=own, within=60 * minutes)
        part = fitted.images < prediction.images
        shorter = f"{fitted.epochs} epochs" + f" on {fitted.images:,} of {prediction.images:,} images" * part
        note = f"trials of {shorter}, not {own} epochs, to end within {minutes:g} minutes (--epochs {own} insists)"
        chosen = replace(manifest, epochs=fitted.epochs, images=fitted.images if part else None)
        return chosen, note if part or fitted.epochs < own else ""

    def told(self, study: Study, *, seconds: float, notes: tuple[str, ...] = ()) -> Opened:
        """The first update of a search; `seconds` is the forecast for what is left."""
        password = warn_of_password(self.search.storage or "") or ""
        again = ", ".join(map(str, study.recovered))
        recovery = f"trials {again} were left unfinished and go on" if again else ""
        return Opened(
            study=self.name,
            space=self.space.source,
            storage=masked(self.url),
            machine=self.machine.title,
            data=self.source.title,
            epochs=study.manifest.epochs,
            seconds=seconds,
            notes=tuple(filter(None, (*notes, password, *study.notes, recovery))),
            history=study.history(),
        )
