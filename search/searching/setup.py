"""What is settled before the first trial: the space, the data, the split, the length, trials of another study."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Self

from search.candidate import Candidate, CandidateError, Value, from_values, values_of
from search.data.sources import Source, find_source
from search.data.split import Split, standard_split
from search.errors import DataError, UsageError
from search.pictures import Progress
from search.planning.catalogue import MEASURES, load
from search.planning.feasibility import fetch_weights
from search.planning.forecast import EPOCHS, RETRAIN, Forecast, fitted
from search.planning.hour import SEARCH
from search.searching.progress import Opened
from search.searching.provenance import PACKAGES, provenance
from search.searching.request import Search
from search.searching.study_data import check_free, split_of
from search.searching.study_folder import StudyFolder, name_of_study
from search.slots.machine import Machine, survey
from spaces import Space, difference
from spaces.baselines import find_baseline
from studies import StudyError, unknown
from studies.algorithms import make_pruner, make_sampler
from studies.history import History, TrialRecord, find_history, last_start, read_history
from studies.manifest import METRICS, Manifest, check_alike, check_same
from studies.start import Carried, Carry, carried_from, open_study
from studies.storage import Storage, masked, storage_url, warn_of_password
from studies.study import Study

MOST_SIDE = {"cpu": 64, "cuda": 128}  # pixels at which pictures are seen, where nobody names a size
SPACES = {"cpu": "fast", "cuda": "wide"}  # what is searched where nobody names a space, by the kind of machine


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A search with what it runs on."""

    search: Search
    name: str  # of the study
    space: Space
    machine: Machine
    source: Source
    folder: StudyFolder
    url: str  # of the storage
    again: str  # how the study was started last, for a message; empty where it is new
    pruner: str
    epochs: int  # of a trial, before it is shortened to fit the time

    @classmethod
    def of(cls, search: Search, *, progress: Progress | None = None) -> Self:
        """Raises SpaceError, DeviceError, DataError, WeightsError, and StudyError for a name that cannot be used."""
        machine = survey(None if search.ray else search.device, slots=None if search.slots == "auto" else search.slots)
        space = load(search.space or SPACES[machine.kind])
        name = name_of_study(search.study, space=space.name, source=space.source)
        folder, url = StudyFolder(search.folder, name), storage_url(search.folder, search.storage)
        again = _last_command(last_start(name, storage=url), trials=search.trials)
        setup = cls(
            search=search,
            name=name,
            space=space,
            machine=machine,
            source=_source(search, machine, again=again, progress=progress),
            folder=folder,
            url=url,
            again=again,
            pruner=search.pruner or ("none" if search.cost else "halving"),
            epochs=space.length.trial if space.length else EPOCHS,
        )
        if search.carry_over == name:
            raise StudyError(f"study {name!r} has its own trials already; name the new one with --study OTHER")
        make_sampler(search.sampler, seed=0, trials=search.trials, conditional=space.has_conditions)
        if search.cost is not None and search.cost not in MEASURES:
            raise unknown("cost", search.cost, MEASURES)
        if search.metric is not None and search.metric not in METRICS:
            raise unknown("metric", search.metric, METRICS)
        setup.queue()
        fetch_weights(space)
        make_pruner(setup.pruner, trials=search.trials, epochs=search.epochs or EPOCHS, cost=search.cost)
        return setup

    def queue(self) -> list[tuple[str, dict[str, Value]]]:
        """What a study tries first, as it stores them: the space's baselines, then the published ones asked for.

        Raises SpaceError for an unknown name, StudyError for one that the space does not hold.
        """
        queue = [(baseline.name, self.space.stored(baseline.values)) for baseline in self.space.baselines]
        for name in self.search.enqueue:
            values, problems = placed(from_values(find_baseline(name).values), space=self.space)
            if problems:
                raise StudyError(
                    f"baseline {name} is not in space {self.space.name}, so a study of it cannot try it:\n  "
                    + "\n  ".join(problems)
                    + f"\ntrain it alone with `cifar-search baseline {name}`, or name a space that holds it"
                )
            queue.append((name, self.space.stored(values)))
        return queue

    def draft(self, stored: History | None = None) -> tuple[Manifest, Split]:
        """What identifies the study, stored or new, its length still open, and its split; writes nothing.

        Raises DataError, and UsageError for a number of images that cannot be.
        """
        images = self.source.training()
        source = self.name if stored else self.search.carry_over  # on another split no trial could be carried over
        if source:
            split = split_of(source, runs=self.search.folder, storage=self.url, images=images)
        else:
            split = standard_split(images, seed=self.search.seed)
        if not stored:
            check_free(self.folder, split, storage=self.url)
        asked, classes, whole = self.search.images, len(images.classes), len(split.training)
        if asked is not None and not classes <= asked <= whole:
            raise UsageError(f"--images must be from {classes}, one of each class, to {whole:,}, not {asked:,}")
        epochs = self.search.epochs or EPOCHS
        manifest = Manifest(
            space_name=self.space.name,
            space=self.space.canonical(),
            space_fingerprint=self.space.fingerprint,
            split_fingerprint=split.fingerprint,
            data_fingerprint=images.fingerprint,
            shape=images.shape,
            seed=self.search.seed,
            epochs=epochs,
            images=None if asked == whole else asked,
            retrain_epochs=self.space.length.retrain if self.space.length else RETRAIN * epochs,
            metric=METRICS[self.search.metric or "accuracy"],
            cost=self.search.cost,
            versions={package: version(package) for package in PACKAGES},
        )
        return manifest, split

    def resumed(self) -> tuple[History | None, Manifest, Split, Manifest | None, Carry | None]:
        """What is stored of the study, its draft and split, what is settled and what it is given. Raises as they do."""
        stored = find_history(self.name, storage=self.url)
        manifest, split = self.draft(stored)
        settled = self.settled(manifest, stored=stored)
        return stored, manifest, split, settled, self.carry(settled, stored=stored) if settled else None

    def settled(self, manifest: Manifest, *, stored: History | None) -> Manifest | None:
        """The manifest, what was not asked for as the study has it; None if its length is still to be found.

        Where nothing is stored of the study, the one that it starts with decides. Raises StudyError where the search
        would go on with another study.
        """
        self._check_enqueued(stored)
        if not stored and not self.search.carry_over:
            return manifest if self.search.epochs else None
        before = (stored or read_history(str(self.search.carry_over), storage=self.url)).manifest
        images = manifest.images if self.search.images else before.images
        metric = manifest.metric if self.search.metric else before.metric
        settled = replace(manifest, epochs=self.search.epochs or before.epochs, images=images, metric=metric)
        if stored:
            check_same(stored.manifest, settled, study=self.name, differences=difference, again=self.again)
        return settled

    def fit(self, manifest: Manifest, forecast: Forecast) -> tuple[Manifest, str]:
        """The manifest of a new study with trials that fit the time, and a note where they are shorter for it."""
        epochs, images, trials = self.epochs, self.search.images, self.search.trials
        minutes = self.search.minutes or SEARCH[self.machine.kind]
        return fitted(manifest, forecast, epochs=epochs, images=images, trials=trials, minutes=minutes)

    def _check_enqueued(self, stored: History | None) -> None:
        """Raises StudyError where the study has too few trials left for the published recipes that were asked for."""
        trials = stored.trials if stored else ()
        begun = [trial for trial in trials if trial.state != "foreign" and not trial.carried]
        new = sorted({*self.search.enqueue} - {trial.baseline for trial in begun})
        if new and len(begun) + len(new) > self.search.trials:
            raise StudyError(
                f"study {self.name!r} has begun {len(begun)} of {self.search.trials} trials, which leaves none for "
                f"--enqueue {new[-1]}; give --trials {len(begun) + len(new)} or more"
            )

    def carry(self, manifest: Manifest, *, stored: History | None) -> Carry | None:
        """The trials that a new study is given of another one; None where it has them, or nothing was asked for.

        Raises StorageError, and StudyError where the two differ in more than their spaces and seeds.
        """
        old = self.search.carry_over
        if old is None or (stored and carried_from(self.name, storage=self.url) == old):
            return None
        history = read_history(old, storage=self.url)
        check_alike(history.manifest, manifest, study=old)
        ended = [trial for trial in history.trials if trial.state in ("complete", "pruned")]
        trials = filter(None, (_carried(trial, space=self.space, manifest=manifest) for trial in ended))
        return Carry(study=old, trials=tuple(trials), most=len(ended), suggest=self.space.suggest)

    def study(self, manifest: Manifest, *, storage: Storage, carry: Carry | None, final_epochs: int = 1) -> Study:
        """The study, created or resumed; `storage` is owned. Raises StudyError, StorageError."""
        length = self.space.length
        usual = "the median of their shorter sides" if self.source.kind == "pictures" else "as they are"
        return open_study(
            self.name,
            storage=storage,
            url=self.url,
            sampler=self.search.sampler,
            pruner=self.pruner,
            trials=self.search.trials,
            final_epochs=final_epochs,
            manifest=manifest,
            conditional=self.space.has_conditions,
            differences=difference,
            provenance={
                **provenance(self.machine, source=self.source, manifest=manifest, compile=self.search.compile),
                "sampler": self.search.sampler,
                "pruner": self.pruner,
                "description": self.space.description,
                "image size": "as asked for" if self.search.image_size else usual,
                **({"length": f"{length.trial} {length.retrain}"} if length else {}),
            },
            carry=carry,
        )

    def opened(
        self, study: Study, *, seconds: float, notes: tuple[str, ...] = (), measured: tuple[str, ...] = ()
    ) -> Opened:
        """The first update of a search; `seconds` is the forecast for what is left."""
        again = ", ".join(map(str, study.recovered))
        recovery = f"trials {again} were left unfinished and go on" if again else None
        all_notes = (*self.source.notes, *notes, warn_of_password(self.search.storage or ""), *study.notes, recovery)
        return Opened(
            study=self.name,
            space=self.space.source,
            storage=masked(self.url),
            machine=self.machine.title,
            data=self.source.title,
            epochs=study.manifest.epochs,
            seconds=seconds,
            measured=measured,
            notes=tuple(filter(None, all_notes)),
            history=study.history(),
        )


def _last_command(start: Mapping[str, str], *, trials: int) -> str:
    command = re.sub(r" --trials[= ]\S+", "", start.get("command", ""))
    if command.startswith("cifar-search run"):
        return f"; as it was started last, it goes on with:\n  {command} --trials {trials}"
    return f"; its last start had the space {start.get('space')}, and {start.get('data')}" if start else ""


def _source(search: Search, machine: Machine, *, again: str, progress: Progress | None) -> Source:
    """The images; nothing is fetched for a study that was started with other ones. Raises DataError."""
    half = search.data is None and " --data" in again
    try:
        side, most = search.image_size, MOST_SIDE[machine.kind]
        return find_source(search.data, side=side, most_side=most, download=not half, progress=progress)
    except DataError as error:
        raise DataError(f"{error}{again}") if half else error from None


def values_in(space: Space, values: Mapping[str, Value]) -> dict[str, Value] | None:
    """The same candidate in the terms of a space; None where it lies outside."""
    try:
        candidate = from_values(values)
    except CandidateError:
        return None
    found, problems = placed(candidate, space=space, known=values)
    return None if problems else found


def placed(
    candidate: Candidate, *, space: Space, known: Mapping[str, Value] = {}
) -> tuple[dict[str, Value], list[str]]:
    """A candidate in the terms of a space, and what of it lies outside; `known` are values that it was drawn with."""
    own = values_of(candidate, [parameter.name for parameter in space.parameters])
    found = space.complete({**own, **known})
    problems = space.check(found)
    if not problems and from_values(found) != candidate:
        problems = ["it has other values than the defaults where the space says nothing"]
    return found, problems


def _carried(trial: TrialRecord, *, space: Space, manifest: Manifest) -> Carried | None:
    values = values_in(space, trial.values)
    if values is None:
        return None
    violations, cost = space.violations(trial.attributes, side=manifest.shape.side), manifest.cost
    if trial.state == "complete":
        measured = trial.attributes.keys() >= {*space.limits, *([cost] if cost else [])}
        fits = measured and trial.accuracy is not None
    else:  # without an accuracy it has only its violations to teach
        fits = trial.accuracy is not None or any(violation > 0 for violation in violations.values())
    return Carried(record=trial, stored=space.stored(values), violations=violations) if fits else None
