"""The decision, from a searched study to a written report: confirm, choose, retrain, open the test set, recommend."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.candidate import from_values
from search.data.sources import find_source
from search.data.split import load
from search.deciding.evidence import Confirmed, OpenedTest, Report
from search.deciding.provenance import provenance
from search.deciding.recommendation import Claim
from search.deciding.testing import open_test
from search.deciding.trainings import Retrained, Trained, Trainings
from search.networks.count import cost
from search.planning.decision_plan import Plan, check_complete, make_plan
from search.reporting.report import write_report
from search.slots.machine import survey
from search.text import percent
from studies.dashboard import publish
from studies.history import read_history
from studies.ledger import openings, record_opening
from studies.storage import owned, storage_url

if TYPE_CHECKING:
    from search.training.compiling import Mode


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a person asks for; the command line's options and their defaults."""

    study: str
    claims: tuple[Claim, ...]
    folder: Path = Path("runs")
    storage: str | None = None
    data: str | None = None
    minutes: float = 30.0  # that the trainings should take, within reason
    candidates: int | None = None  # these four as the time allows, unless given
    confirm_seeds: int | None = None
    seeds: int | None = None
    epochs: int | None = None
    slots: int | None = None
    device: str | None = None
    compile: Mode | None = None  # compile every network before it is trained


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What will be trained, where, and for how long."""

    study: str
    machine: str
    data: str
    plan: Plan
    earlier_openings: int


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The choice is frozen; the test set is still closed."""

    confirmation: tuple[Confirmed, ...]
    dropped: tuple[str, ...]  # candidates whose training failed, and why


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The report is written."""

    report: Report
    folder: Path


Step = Planned | Trained | Chosen | Reported


def decide(question: Question) -> Iterator[Step]:
    """Answer the question, telling each step. Raises StudyError, StorageError, DataError, DeviceError, SlotError."""
    start = time.monotonic()
    url = storage_url(question.folder, question.storage)
    history = read_history(question.study, storage=url)
    check_complete(history)
    folder = question.folder / question.study
    machine = survey(question.device, slots=question.slots)
    source = find_source(question.data)
    plan = make_plan(
        history,
        images=len(load(folder / "split.npz").training),
        slots=machine.slots,
        minutes=question.minutes,
        epochs=question.epochs,
        candidates=question.candidates,
        confirm_seeds=question.confirm_seeds,
        seeds=question.seeds,
    )
    with owned(url, study=question.study) as database:
        trainings = Trainings(
            history=history, plan=plan, machine=machine, source=source, folder=folder, compile=question.compile
        )
        trainings.check()
        yield Planned(
            study=question.study,
            machine=machine.title,
            data=source.title,
            plan=plan,
            earlier_openings=len(openings(question.study, storage=url)),
        )
        confirmation, dropped = yield from trainings.confirm()
        yield Chosen(confirmation=confirmation, dropped=dropped)
        winner = history.trials[next(row.trial for row in confirmation if row.chosen)]
        retrained = yield from trainings.retrain(winner)
        # The choice is frozen and the weights are on disk: only now may the test set be opened, and the ledger first.
        record_opening(
            question.study,
            storage=database,
            candidate_trial=winner.number,
            weights_sha256=[row.sha256 for row in retrained],
            seeds=[row.seed for row in retrained],
        )
        candidate = from_values(winner.values)
        counted = cost(candidate.architecture)
        report = Report(
            study=question.study,
            device=machine.title,
            data=source.title,
            official=source.official,
            candidate=candidate.as_dict(),
            parameters=counted.parameters,
            flops=counted.flops,
            validation_accuracy=next(row.mean for row in confirmation if row.chosen),
            confirmation=confirmation,
            test=open_test(source, retrained=retrained, architecture=candidate.architecture, machine=machine),
            claims=question.claims,
            openings=tuple(opening.time for opening in openings(question.study, storage=url)),
            seconds=time.monotonic() - start,
            trials={state: count for state, count in history.counts.items() if count},
            provenance={
                **provenance(history, plan=plan, machine=machine, source=source),
                **({"compile": question.compile} if question.compile else {}),
            },
            history=trainings.epochs(),
            starts=history.starts,
        )
        files = write_report(report, folder / "report")
        _move(retrained, folder / "report")
        publish(
            question.study,
            storage=database,
            runs=question.folder,
            note=_note(report, folder / "report"),
            files=[file for file in files if file.suffix in (".png", ".md")],
        )
        yield Reported(report=report, folder=folder / "report")


def _move(retrained: tuple[Retrained, ...], folder: Path) -> None:
    """The weights into the report's folder, in place of those of an earlier report."""
    for old in folder.glob("weights-*"):
        old.unlink()
    for row in retrained:
        for file in (row.weights, row.weights.with_suffix(".json")):
            file.replace(folder / file.name)


def _note(report: Report, folder: Path) -> str:
    chosen = next(row for row in report.confirmation if row.chosen)
    test: OpenedTest = report.test
    return (
        f"**Best: trial {chosen.trial}**, confirmed at {percent(chosen.mean)} on validation images "
        f"after {report.confirm_epochs} epochs, "
        f"{percent(test.accuracy)} on {test.n:,} test images. Verdict: **{report.recommendation.verdict}**.\n\n"
        f"The report lies in `{folder}`."
    )
