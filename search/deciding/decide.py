"""The decision, from a searched study to its evidence: confirm, choose, retrain, open the test set once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search.candidate import from_values
from search.data.sources import Source, find_source
from search.data.split import load
from search.deciding.evidence import Chosen, Report
from search.deciding.request import Decision
from search.deciding.testing import open_test
from search.deciding.trainings import TrainedEpoch, Trainings
from search.inspecting.status import read_status
from search.networks.count import cost
from search.planning.decision_plan import Plan, check_complete, make_plan
from search.searching.provenance import check_data, provenance
from search.searching.study_folder import StudyFolder
from search.slots.machine import Machine, survey
from studies.history import History
from studies.ledger import openings, record_opening
from studies.storage import owned, storage_url


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What will be trained, where, and for how long."""

    study: str
    machine: str
    data: str
    plan: Plan
    earlier_openings: int


DecisionStep = Planned | TrainedEpoch | Chosen


def decide(request: Decision) -> Iterator[DecisionStep | Report]:
    """Decide step by step; the last step is the report, and the lock is held until the caller is done with it.

    Raises StudyError, StorageError, DataError, DeviceError, SlotError.
    """
    start = time.monotonic()
    history = read_status(request.folder, storage=request.storage, study=request.study).history
    study, url = history.study, storage_url(request.folder, request.storage)
    check_complete(history)
    folder = StudyFolder(request.folder, study)
    machine, source = survey(request.device, slots=request.slots), find_source(request.data)
    plan = _plan(request, history, split=folder.split, slots=machine.slots)
    with owned(url, study=study) as storage:
        check_data(history.manifest, study=study, source=source, split=folder.split)
        earlier = len(openings(study, storage=url))
        yield Planned(study=study, machine=machine.title, data=source.title, plan=plan, earlier_openings=earlier)
        trainings = Trainings(
            history=history, plan=plan, machine=machine, source=source, folder=folder, compile=request.compile
        )
        choice = yield from trainings.confirm()
        yield choice
        winner = choice.winner
        weights = yield from trainings.retrain(history.trials[winner.trial])
        # The choice is frozen and the weights are on disk: only now may the test set be opened, and the ledger first.
        record_opening(
            study,
            storage=storage,
            candidate_trial=winner.trial,
            weights_sha256=[row.sha256 for row in weights],
            seeds=[row.seed for row in weights],
        )
        candidate = from_values(history.trials[winner.trial].values)
        size = cost(candidate.architecture)
        yield Report(
            study=study,
            device=machine.title,
            data=source.title,
            official=source.official,
            candidate=candidate.as_dict(),
            parameters=size.parameters,
            flops=size.flops,
            validation_accuracy=winner.mean,
            confirmation=choice.confirmation,
            test=open_test(source, weights=weights, architecture=candidate.architecture, machine=machine),
            claims=request.claims,
            openings=tuple(opening.time for opening in openings(study, storage=url)),
            seconds=time.monotonic() - start,
            trials={state: count for state, count in history.counts.items() if count},
            provenance=_provenance(request, history, plan=plan, machine=machine, source=source),
            history=trainings.epochs(),
            starts=history.starts,
            weights=weights,
        )


def _plan(request: Decision, history: History, *, split: Path, slots: int) -> Plan:
    return make_plan(
        history,
        images=len(load(split).training),
        slots=slots,
        minutes=request.minutes,
        epochs=request.epochs,
        candidates=request.candidates,
        confirm_seeds=request.confirm_seeds,
        seeds=request.seeds,
    )


def _provenance(request: Decision, history: History, *, plan: Plan, machine: Machine, source: Source) -> dict[str, str]:
    manifest = history.manifest
    part = f" on {manifest.images:,} images" if manifest.images else ""
    decision = f"{plan.confirm_epochs} a confirmation, {plan.epochs} the retraining"
    return {
        **provenance(machine, source=source, manifest=manifest),
        "epochs": f"{manifest.epochs} a trial{part}, {decision}",
        "threads": f"{machine.cores} cores",  # shared among as many trainings as there are at a time
        **({"compile": request.compile} if request.compile else {}),
    }
