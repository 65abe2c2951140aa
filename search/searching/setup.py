"""What is settled before the first trial: the space, the data, the split, the length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

from search.candidate import Value, from_values
from search.data import split as splits
from search.data.cifar10 import fingerprint
from search.data.sources import Source, find_source
from search.errors import UsageError
from search.planning.catalogue import MEASURES, load
from search.planning.feasibility import fetch_weights
from search.planning.forecast import EPOCHS, RETRAIN
from search.searching.progress import Opened
from search.searching.provenance import PACKAGES, provenance
from search.searching.request import Search
from search.searching.study_folder import StudyFolder
from search.searching.warm_start import find_carry, placed
from search.slots.machine import Machine, survey
from spaces import Space, difference
from spaces.baselines import find_baseline
from studies import StudyError, unknown
from studies.algorithms import make_pruner, make_sampler
from studies.history import History, find_history, read_history
from studies.manifest import Manifest, check_same
from studies.start import Carry, carried_from, open_study
from studies.storage import Storage, masked, storage_url, warn_of_password
from studies.study import Study

SPACES = {"cpu": "fast", "cuda": "wide"}  # what is searched where nobody names a space, by the kind of machine


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A search with what it runs on."""

    search: Search
    space: Space
    machine: Machine
    source: Source

    @classmethod
    def of(cls, search: Search) -> Setup:
        """Raises SpaceError, DeviceError, DataError, WeightsError, and StudyError for a name that cannot be used."""
        slots = None if search.slots == "auto" else search.slots
        machine = survey(None if search.ray else search.device, slots=slots)
        setup = cls(
            search=search,
            space=load(search.space or SPACES[machine.kind]),
            machine=machine,
            source=find_source(search.data),
        )
        if search.carry_over == setup.folder.study:
            raise StudyError(f"study {setup.name!r} has its own trials already; name the new one with --study OTHER")
        make_sampler(search.sampler, seed=0, trials=search.trials, conditional=setup.space.has_conditions)
        if search.cost is not None and search.cost not in MEASURES:
            raise unknown("cost", search.cost, MEASURES)
        setup.queue()
        fetch_weights(setup.space)
        make_pruner(setup.pruner, trials=search.trials, epochs=search.epochs or EPOCHS, cost=search.cost)
        return setup

    @property
    def name(self) -> str:
        """Of the study."""
        return self.search.study or self.space.name

    @property
    def pruner(self) -> str:
        return self.search.pruner or ("none" if self.search.cost else "median")

    @property
    def folder(self) -> StudyFolder:
        return StudyFolder(self.search.folder, self.name)

    @property
    def url(self) -> str:
        return storage_url(self.search.folder, self.search.storage)

    @property
    def epochs(self) -> int:
        """Of a trial, before it is shortened to fit the time."""
        return self.space.length.trial if self.space.length else EPOCHS

    def queue(self) -> list[tuple[str, dict[str, Value]]]:
        """What a study tries first, as it stores them: the space's baselines, then the published ones asked for.

        Raises SpaceError for an unknown name, StudyError for one that the space does not hold.
        """
        named = [(baseline.name, baseline.values) for baseline in self.space.baselines]
        named += [(name, self._published(name)) for name in self.search.enqueue]
        return [(name, self.space.stored(values)) for name, values in named]

    def _published(self, name: str) -> Mapping[str, Value]:
        published = find_baseline(name)
        values, problems = placed(from_values(published.values), space=self.space)
        if problems:
            raise StudyError(
                f"baseline {name} is not in space {self.space.name}, so a study of it cannot try it:\n  "
                + "\n  ".join(problems)
                + f"\ntrain it alone with `cifar-search baseline {name}`, or name a space that holds it"
            )
        return values

    def draft(self) -> tuple[Manifest, splits.Split]:
        """What identifies the study, its length still open, and its split; writes nothing.

        Raises DataError, and UsageError for a number of images that cannot be.
        """
        images = self.source.training()
        names = [self.name, self.search.carry_over]  # on another split no trial could be carried over
        paths = [StudyFolder(self.search.folder, name).split for name in names if name]
        kept = next((path for path in paths if path.exists()), None)
        split = splits.load(kept) if kept else splits.standard_split(images.labels, seed=self.search.seed)
        asked, classes, whole = self.search.images, len(images.classes), len(split.training)
        if asked is not None and not classes <= asked <= whole:
            raise UsageError(f"--images must be from {classes}, one of each class, to {whole:,}, not {asked:,}")
        epochs = self.search.epochs or EPOCHS
        manifest = Manifest(
            space_name=self.space.name,
            space=self.space.canonical(),
            space_fingerprint=self.space.fingerprint,
            split_fingerprint=split.fingerprint,
            data_fingerprint=fingerprint(images),
            seed=self.search.seed,
            epochs=epochs,
            images=None if asked == whole else asked,
            retrain_epochs=self.space.length.retrain if self.space.length else RETRAIN * epochs,
            cost=self.search.cost,
            versions={package: version(package) for package in PACKAGES},
        )
        return manifest, split

    def stored(self) -> History | None:
        """The study as it stands; None where there is none, or no database. Raises StudyError, StorageError."""
        return find_history(self.name, storage=self.url)

    def settled(self, manifest: Manifest, *, stored: History | None) -> Manifest | None:
        """The manifest with the length that was asked for or that the study has; None if it is still to be found.

        Where nothing is stored of the study, the one that it starts with decides. Raises StudyError where the search
        would go on with another study.
        """
        before = stored.manifest if stored else None
        if before is None and self.search.carry_over:
            before = read_history(self.search.carry_over, storage=self.url).manifest
        if before is None:
            return manifest if self.search.epochs else None
        images = manifest.images if self.search.images else before.images
        settled = replace(manifest, epochs=self.search.epochs or before.epochs, images=images)
        if stored:
            check_same(stored.manifest, settled, study=self.name, differences=difference)
        return settled

    def carry(self, manifest: Manifest, *, stored: History | None) -> Carry | None:
        """What a new study is given of another one; None where it has that, or nothing was asked for.

        Raises StudyError, StorageError.
        """
        old = self.search.carry_over
        if old is None or (stored and carried_from(self.name, storage=self.url) == old):
            return None
        return find_carry(old, space=self.space, manifest=manifest, storage=self.url)

    def study(self, manifest: Manifest, *, storage: Storage, carry: Carry | None) -> Study:
        """The study, created or resumed; `storage` is owned. Raises StudyError, StorageError."""
        length = self.space.length
        return open_study(
            self.name,
            storage=storage,
            url=self.url,
            sampler=self.search.sampler,
            pruner=self.pruner,
            trials=self.search.trials,
            manifest=manifest,
            conditional=self.space.has_conditions,
            differences=difference,
            provenance={
                **provenance(self.machine, source=self.source, manifest=manifest, compile=self.search.compile),
                "sampler": self.search.sampler,
                "pruner": self.pruner,
                "description": self.space.description,
                **({"length": f"{length.trial} {length.retrain}"} if length else {}),
            },
            carry=carry,
        )

    def opened(
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
