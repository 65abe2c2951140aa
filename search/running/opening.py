"""What must be settled before the first trial: the space, the data, the split, the length, the forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random

from search.candidate import FAMILIES, Candidate, CandidateError, Value, checks, from_values
from search.data import split as splits
from search.data.cifar10 import fingerprint
from search.data.sources import Source
from search.networks.blocks import NetworkError
from search.networks.count import MEASURES, Cost, cost
from search.running.forecast import Forecast
from search.running.job import Job
from search.running.slots import Slots
from spaces import Space, load_space
from studies import StudyError
from studies.history import read_history, study_names
from studies.manifest import Manifest
from studies.storage import StorageError

VALIDATION_SHARE = 10  # one training image in so many is kept for validation: 5,000 of 50,000
MEAN_DRAWS = 64  # random networks of the space whose mean size stands for a trial
LENGTH = 8  # epochs of a trial, where neither the space file nor the person says
RETRAIN = 4  # times as long is the final training, where the space file does not say
PACKAGES = ("torch", "torchvision", "optuna", "cifar-search")


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
    pruner: str = "median"
    slots: int | None = None
    epochs: int | None = None  # the space's own length, shortened to `minutes`, unless given
    minutes: float = 50.0  # that the search should take, within reason
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("epochs", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise StudyError(f"--{name} must be at least {least}, not {value}")


def storage_url(folder: Path, storage: str | None) -> str:
    """The storage that was asked for, or the default one in the folder of runs."""
    return storage or f"sqlite:///{folder / 'studies.db'}"


def load(name: str) -> Space:
    """A space by the name of a shipped one or by its file. Raises SpaceError."""
    return load_space(name, families={family: checks(family) for family in FAMILIES}, measures=MEASURES)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """Values that may be trained, or why not."""

    candidate: Candidate | None
    cost: Cost | None
    violations: Mapping[str, float]
    problem: str = ""


def examine(space: Space, values: Mapping[str, Value]) -> Examined:
    """Build the candidate, count its network, and hold it against the limits of the space."""
    try:
        candidate = from_values(values)
        counted = cost(candidate.architecture)
    except (CandidateError, NetworkError) as error:
        return Examined(candidate=None, cost=None, violations={}, problem=str(error))
    violations = space.violations(counted.measures())
    over = [f"{name} {counted.measures()[name]:,.0f}" for name, violation in violations.items() if violation > 0]
    problem = f"over the limit of the space: {', '.join(over)}" if over else ""
    return Examined(candidate=candidate, cost=counted, violations=violations, problem=problem)


def identity(search: Search, space: Space, *, source: Source, path: Path) -> tuple[Manifest, int]:
    """The manifest of this search but for its length, and its training images; makes the split if there is none."""
    images = source.training()
    if not path.exists():
        splits.stratified(images.labels, validation=len(images) // VALIDATION_SHARE, seed=search.seed).save(path)
    split = splits.load(path)
    manifest = Manifest(
        space_name=space.name,
        space=space.canonical(),
        space_fingerprint=space.fingerprint,
        split_fingerprint=split.fingerprint,
        data_fingerprint=fingerprint(images),
        seed=search.seed,
        epochs=search.epochs or LENGTH,
        retrain_epochs=space.length.retrain if space.length else RETRAIN * (search.epochs or LENGTH),
        versions={package: version(package) for package in PACKAGES},
    )
    return manifest, len(split.training)


def predict(search: Search, space: Space, *, slots: Slots, images: int) -> Forecast:
    """Measure all slots at once on the space's first baseline, or on its first draw that is feasible."""
    draws = [examine(space, space.sample(rng)) for rng in map(Random, range(MEAN_DRAWS))]
    baselines = [examine(space, baseline.values) for baseline in space.baselines]
    known = next((drawn for drawn in (*baselines, *draws) if not drawn.problem), None)
    if known is None or known.candidate is None or known.cost is None:
        raise StudyError(f"none of {MEAN_DRAWS} draws of space {space.name} may be trained: {draws[0].problem}")
    feasible = [drawn.cost.flops for drawn in draws if drawn.cost is not None and not drawn.problem]
    return Forecast(
        images_per_second=slots.measure(Job(name="the forecast", candidate=known.candidate)),
        flops=known.cost.flops,
        mean_flops=sum(feasible) / len(draws),  # a draw that is over a limit costs nothing
        images=images,
        pruning=search.pruner != "none",
    )


def fitted_length(search: Search, space: Space, *, prediction: Forecast) -> tuple[int, str]:
    """Epochs of a new study's trials: the space's own, shortened where they do not fit the time, and what to say."""
    own = space.length.trial if space.length else LENGTH
    epochs = prediction.fit(trials=search.trials, epochs=own, within=60 * search.minutes)
    note = f"trials of {epochs} epochs, not {own}, to end within {search.minutes:g} minutes (--epochs {own} insists)"
    return epochs, note if epochs < own else ""


def stored_epochs(name: str, *, storage: str) -> int | None:
    """Epochs of a study's trials as it was started with, None if there is no such study yet."""
    try:
        return read_history(name, storage=storage).manifest.epochs if name in study_names(storage) else None
    except StorageError:  # no database yet: opening the study makes it, or says what is wrong with it
        return None
