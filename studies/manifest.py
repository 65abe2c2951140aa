"""What a study was started with, so that it is never continued with something else."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search.description import CIFAR10, ImageShape
from studies import StudyError

FORMAT = 2  # of the record of a study; 1 is that of the versions before there was a number
ATTRIBUTE = "manifest"  # study attribute
METRICS = {"accuracy": "validation accuracy", "balanced-accuracy": "validation balanced accuracy"}
"""What a study may maximise, by the names that people give: balanced, each class counts alike, however small."""
COMPARABLE = ("data_fingerprint", "split_fingerprint", "epochs", "images", "retrain_epochs", "metric")

Differences = Callable[[dict[str, Any], dict[str, Any]], list[str]]
"""Readable lines from an old and a new space in canonical form."""


def measure_of(metric: str) -> str:
    """The name of the number of an epoch that a metric is."""
    return metric.replace(" ", "_")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The identity of a study; only `versions` and `retrain_epochs` may change while it grows."""

    format: int = FORMAT
    space_name: str
    space: dict[str, Any]  # canonical form
    space_fingerprint: str
    split_fingerprint: str
    data_fingerprint: str
    shape: ImageShape = CIFAR10  # of the images; records from before there was a choice have none
    seed: int
    epochs: int  # of a whole trial
    images: int | None = None  # training images of a trial; None: the whole training part
    retrain_epochs: int  # of the final training, unless asked otherwise
    metric: str = METRICS["accuracy"]
    cost: str | None = None  # a second objective, minimised: a number that is measured for every trial
    versions: dict[str, str]  # package -> version

    def __post_init__(self) -> None:
        if self.seed < 0 or self.epochs < 1:
            raise StudyError(f"a study needs a seed >= 0 and epochs >= 1, not {self.seed} and {self.epochs}")

    @property
    def measure(self) -> str:
        """The number of an epoch that is maximised."""
        return measure_of(self.metric)

    def seed_of(self, trial: int) -> int:
        """The seed of a trial, 63 bits: it depends on neither the slot, the attempt nor the machine."""
        return self._derived(trial) >> 1

    def seed_of_start(self, start: int) -> int:
        """The sampler's seed of a start, 32 bits. Optuna stores no sampler, and one seed would draw the same again."""
        return self._derived(start) >> 32

    def _derived(self, index: int) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{index}".encode()).digest()[:8])


def stored_manifest(attributes: Mapping[str, Any], *, study: str) -> Manifest:
    """The manifest among a study's attributes, also of an older format. Raises StudyError for a foreign study."""
    try:
        stored = {"format": 1, "shape": CIFAR10, **attributes[ATTRIBUTE]}
        return Manifest(**{**stored, "shape": ImageShape(*stored["shape"])})
    except (KeyError, TypeError):
        raise StudyError(
            f"study {study!r} was not made by this version of cifar-search; name another with --study OTHER"
        ) from None


def check_format(manifest: Manifest, *, study: str, command: str) -> None:
    """Raises StudyError where a study's record is of another format than this version writes."""
    if manifest.format != FORMAT:
        raise StudyError(
            f"study {study!r} has a record of format {manifest.format}, and `{command}` needs format {FORMAT}: "
            "status, best, explain and spaces advise read it; search again with --study OTHER"
        )


def check_same(
    old: Manifest, new: Manifest, *, study: str, differences: Differences, again: str = ""
) -> tuple[str, ...]:
    """Refuses to continue another study, all differences at once, and says how: `again`; returns notes on versions."""
    check_format(old, study=study, command="cifar-search run")
    lines = []
    if old.space_fingerprint != new.space_fingerprint:
        shown = differences(old.space, new.space)
        lines += shown or [f"space: fingerprint {old.space_fingerprint[:12]} -> {new.space_fingerprint[:12]}"]
    lines += _changed(old, new, "split_fingerprint", "data_fingerprint", "seed", "epochs", "images", "metric", "cost")
    advice = f"restore what it was started with, or start another study with --study OTHER{again}"
    _refuse(f"study {study!r} was", lines, advice=advice)
    names = sorted(old.versions.keys() | new.versions.keys())
    pairs = [(name, old.versions.get(name, "none"), new.versions.get(name, "none")) for name in names]
    return tuple(f"{name} {before} -> {after}" for name, before, after in pairs if before != after)


def check_alike(old: Manifest, new: Manifest, *, study: str) -> None:
    """Raises StudyError where no number of the old study is comparable with one of the new."""
    advice = "start this study with the same, or leave --carry-over out"
    _refuse(f"no trial of study {study!r} can be carried over, it was", _changed(old, new, *COMPARABLE), advice=advice)


def _changed(old: Manifest, new: Manifest, *names: str) -> list[str]:
    unset = {"images": "all", "cost": "none"}  # what None stands for
    shown = ([getattr(manifest, name) or unset.get(name, 0) for manifest in (old, new)] for name in names)
    pairs = [(name.removesuffix("_fingerprint"), *values) for name, values in zip(names, shown, strict=True)]
    return [f"{name}: {before} -> {after}" for name, before, after in pairs if before != after]


def _refuse(what: str, differences: list[str], *, advice: str) -> None:
    if differences:
        lines = "\n  ".join(differences)
        raise StudyError(f"{what} started with something else (then -> now):\n  {lines}\n{advice}")
