"""What is settled before the first trial: the space, the data, the split, the length."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from search.candidate import Value, from_values
from search.data import split as splits
from search.data.cifar10 import fingerprint
from search.data.sources import Source, find_source
from search.inspecting.doctor import sweep
from search.planning.catalogue import MEASURES, families, load
from search.planning.feasibility import fetch_weights
from search.searching.progress import Opened
from search.searching.provenance import PACKAGES, provenance
from search.searching.request import Search as Search
from search.searching.warm_start import find_carry, placed
from search.slots.job import Setting
from search.slots.machine import Machine, survey
from spaces import Space, difference
from spaces.baselines import find_baseline
from studies import StudyError, unknown
from studies.history import known_manifest, read_history
from studies.lock import lock
from studies.manifest import Manifest, check_same
from studies.pruners import make_pruner
from studies.samplers import make_sampler
from studies.storage import masked, opened, shareable, storage_url, warn_of_password
from studies.study import Study, check_name, open_study
from studies.warm_start import Carry, carried_from

SPACES = {"cpu": "fast", "cuda": "wide"}  # what is searched where nobody names a space, by the kind of machine
LENGTH = 8  # epochs of a trial, where neither the space file nor the person says
RETRAIN = 4  # times as long is the final training, where the space file does not say


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A search with what it runs on."""

    search: Search
    space: Space
    machine: Machine
    source: Source
    mps: Path | None = None  # where the slots meet an MPS daemon that was started for them

    @classmethod
    def of(cls, search: Search) -> Opening:
        """Raises SpaceError, DeviceError, DataError, WeightsError, and StudyError for a name that is not fit."""
        slots = None if search.slots == "auto" else search.slots
        machine = survey(None if search.ray else search.device, slots=slots)
        opening = cls(
            search=search,
            space=load(search.space or SPACES[machine.kind]),
            machine=machine,
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

    def settings(self, machine: Machine, *, split: Path) -> list[Setting]:
        """What each slot of this machine needs to know."""
        return machine.settings(self.source, split=split, compile=self.search.compile, mps=self.mps)

    def manifest(self) -> tuple[Manifest, int]:
        """As `draft`, with the number of training images; the split is kept. Raises DataError, StudyError."""
        manifest, split = self.draft()
        if not self.split.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            split.save(self.split)
        return manifest, len(split.training)

    def draft(self) -> tuple[Manifest, splits.Split]:
        """What identifies the study, its length still open, and its split; writes nothing.

        Raises DataError, and StudyError for a number of images that cannot be.
        """
        images = self.source.training()
        given = self.search.folder / (self.search.carry_over or "") / "split.npz"
        if self.split.exists():
            split = splits.load(self.split)
        elif self.search.carry_over and given.exists():  # on another split no trial could be carried over
            split = splits.load(given)
        else:
            split = splits.usual(images.labels, seed=self.search.seed)
        asked, classes, whole = self.search.images, len(images.classes), len(split.training)
        if asked is not None and not classes <= asked <= whole:
            raise StudyError(f"--images must be from {classes}, one of each class, to {whole:,}, not {asked:,}")
        length = self.search.epochs or LENGTH
        manifest = Manifest(
            space_name=self.space.name,
            space=self.space.canonical(),
            space_fingerprint=self.space.fingerprint,
            split_fingerprint=split.fingerprint,
            data_fingerprint=fingerprint(images),
            seed=self.search.seed,
            epochs=length,
            images=None if asked == whole else asked,
            retrain_epochs=self.space.length.retrain if self.space.length else RETRAIN * length,
            cost=self.search.cost,
            versions={package: version(package) for package in PACKAGES},
        )
        return manifest, split

    def known_length(self, manifest: Manifest) -> Manifest | None:
        """The manifest with the length that was asked for or that the study has; None if it is still to be found.

        Raises StorageError.
        """
        with opened(self.url):
            pass  # makes the database, or says at once what is wrong with it
        return self.settled(manifest, stored=known_manifest(self.name, storage=self.url))

    def settled(self, manifest: Manifest, *, stored: Manifest | None) -> Manifest | None:
        """The same for what is stored of the study; where nothing is, the study that it starts with decides."""
        if stored is None and self.search.carry_over:
            stored = read_history(self.search.carry_over, storage=self.url).manifest
        if stored is None:
            return manifest if self.search.epochs else None
        images = manifest.images if self.search.images else stored.images
        return replace(manifest, epochs=self.search.epochs or stored.epochs, images=images)

    def done(self, manifest: Manifest) -> bool:
        """Whether the study is there and has its trials. Raises StorageError, and StudyError if it is another one."""
        stored = known_manifest(self.name, storage=self.url)
        if stored is None:
            return False
        check_same(stored, manifest, study=self.name, differences=difference)
        return read_history(self.name, storage=self.url).finished >= self.search.trials

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
                **({"compile": self.search.compile} if self.search.compile else {}),
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

    def told(
        self, study: Study, *, seconds: float, notes: tuple[str, ...] = (), measured: tuple[str, ...] = ()
    ) -> Opened:
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
            measured=measured,
            notes=tuple(filter(None, (*notes, password, *study.notes, recovery))),
            history=study.history(),
        )
