"""The last table of a report: where its numbers come from."""

from __future__ import annotations

from search.data.sources import Source
from search.planning.decision_plan import Plan
from search.searching import provenance as running
from search.slots.machine import Machine
from studies.history import History


def provenance(history: History, *, plan: Plan, machine: Machine, source: Source) -> dict[str, str]:
    """That of this process, with the lengths of all trainings."""
    manifest = history.manifest
    part = f" on {manifest.images:,} images" if manifest.images else ""
    decision = f"{plan.confirm_epochs} a confirmation, {plan.epochs} the retraining"
    return {
        **running.provenance(machine, source=source, manifest=manifest),
        "epochs": f"{manifest.epochs} a trial{part}, {decision}",
        "threads": f"{machine.cores} cores",  # shared among as many trainings as there are at a time
    }
