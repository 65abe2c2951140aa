"""Where a number comes from: seeds, hashes, versions, the machine, the command."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

from search.data.sources import Source
from search.deciding.plan import Plan
from search.running.machine import Machine
from studies.history import History

PACKAGES = ("cifar-search", "torch", "torchvision", "optuna", "numpy")


def provenance(history: History, *, plan: Plan, machine: Machine, source: Source) -> dict[str, str]:
    """For the last table of a report."""
    manifest = history.manifest
    part = f" on {manifest.images:,} images" if manifest.images else ""
    return {
        "data": source.title,
        "data SHA-256": manifest.data_fingerprint,
        "split SHA-256": manifest.split_fingerprint,
        "space": f"{manifest.space_name}, SHA-256 {manifest.space_fingerprint}",
        "study seed": str(manifest.seed),
        "epochs": f"{manifest.epochs} a trial{part}, {plan.epochs} a confirmation and retraining",
        "precision": machine.precision,
        "threads": f"{machine.cores} cores",
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{package: version(package) for package in PACKAGES},
        "command": " ".join(["cifar-search", *sys.argv[1:]]),
    }
