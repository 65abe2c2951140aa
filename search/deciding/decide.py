"""The decision, from a searched study to its evidence: confirm, choose, retrain, open the test set once."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

from search.candidate import Candidate, from_values
from search.data.sources import Source
from search.data.split import Split, load
from search.deciding import statistics
from search.deciding.choice import Chosen
from search.deciding.recommendation import Origin, Recommendation, recommend
from search.deciding.request import Claim, Decision
from search.deciding.testing import OpenedTest, RetrainedWeights, Score, sha256_of_test, tested
from search.deciding.trainings import TrainedEpoch, Trainings
from search.description import ImageShape
from search.inspecting.status import read_status
from search.networks.count import Cost, cost
from search.pictures import Progress
from search.planning.confirmation import check_complete
from search.planning.decision_plan import Plan, make_plan
from search.planning.hour import DECISION
from search.searching.progress import Resumed
from search.searching.provenance import provenance
from search.searching.study_data import check_data, source_of
from search.searching.study_folder import StudyFolder
from search.slots.machine import Machine, survey
from search.slots.signals import stop_flag
from search.text import percent, plural
from studies.history import History, TrialRecord
from studies.ledger import Opening, openings, record
from studies.manifest import METRICS
from studies.storage import owned, storage_url
from studies.study import SPARED


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What will be trained, where, and for how long."""

    study: str
    machine: str
    data: str
    plan: Plan
    metric: str  # that the choice goes by
    seconds: float  # forecast of what no earlier start has done
    openings: tuple[Opening, ...]  # of this test set, before
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """All the evidence of a decision, from which the verdict is computed."""

    study: str
    device: str
    data: str  # where the images came from
    official: bool  # they are CIFAR-10, so that the number may be compared with the published ones
    generated: bool  # they show nothing: a rehearsal
    images: ImageShape
    candidate: Candidate
    cost: Cost
    choice: Chosen
    test: OpenedTest
    claims: tuple[Claim, ...]
    openings: tuple[Opening, ...]  # of this test set, by whatever this storage knows
    seconds: float  # of confirmation, retraining and test, also where they were cut off
    trials: Mapping[str, int]  # counts by state: complete, pruned, failed
    provenance: Mapping[str, str]  # versions, seeds, hashes, precision, threads, command line
    history: tuple[TrainedEpoch, ...]
    starts: tuple[Mapping[str, str], ...] = ()  # the provenance of every start of the search
    weights: tuple[RetrainedWeights, ...] = ()  # that were tested
    metric: str = METRICS["accuracy"]  # that was maximised
    about_images: tuple[str, ...] = ()  # how they were seen and divided, in sentences
    spared: Mapping[int, bool] = field(default_factory=dict)  # trials not pruned, to see: whether they were confirmed

    def __post_init__(self) -> None:
        if not self.openings:
            raise ValueError("a test accuracy without an opening of the test set: record it in the ledger first")

    @cached_property
    def recommendation(self) -> Recommendation:
        """The verdict and its sentences."""
        origin: Origin = "public" if self.official else "generated" if self.generated else "own"
        return recommend(self.test, self.claims, images=self.images, origin=origin, balanced=self.score.balanced)

    @property
    def score(self) -> Score:
        """What the claims are compared with: by the study's own metric."""
        return self.test.score(balanced=self.metric != METRICS["accuracy"])

    @property
    def confirm_epochs(self) -> int:
        """Epochs of a confirmation's schedule."""
        return max(row.result.epochs for row in self.history if row.phase == "confirmation")

    @property
    def optimism(self) -> tuple[float, float] | None:
        """Seed-to-seed spread and expected luck of the best complete trial, as fractions; None if not measured."""
        spread = statistics.pooled_sd([row.accuracies for row in self.choice.confirmation])
        return None if spread is None else (spread, statistics.expected_optimism(self.trials["complete"], spread))


DecisionStep = Planned | Resumed | TrainedEpoch | Chosen


def decide(request: Decision, *, progress: Progress | None = None) -> Iterator[DecisionStep | Report]:
    """Decide step by step; the last step is the report, and the lock is held until the caller is done with it.

    Whatever cuts it off, an equal request goes on where it was, until the report is written. Raises StudyError,
    StorageError, DataError, DeviceError, SlotError, and InterruptedSearch at a signal before the test set is opened.
    """
    start = time.monotonic()
    history = read_status(request.folder, storage=request.storage, study=request.study).history
    study, url, manifest = history.study, storage_url(request.folder, request.storage), history.manifest
    check_complete(history)
    folder, machine = StudyFolder(request.folder, study), survey(request.device, slots=request.slots)
    source = source_of(history.starts, data=request.data, side=manifest.shape.side, progress=progress)
    notes = source.notes + check_data(manifest, source=source, folder=folder, storage=url)
    sha256 = sha256_of_test(source)
    known = partial(openings, url, test=sha256, training=manifest.data_fingerprint)
    split = load(folder.split)
    plan = _plan(request, history, images=len(split.training), machine=machine)
    with owned(url, study=study) as storage, stop_flag() as flag:
        trainings = Trainings(
            history=history,
            plan=plan,
            machine=machine,
            source=source,
            folder=folder,
            compile=request.compile,
            flag=flag,
        )
        of = {"study": study, "machine": machine.title, "data": source.title, "metric": manifest.metric}
        yield Planned(**of, plan=plan, seconds=trainings.seconds_left, openings=known(), notes=notes)
        choice = yield from trainings.confirm()
        yield choice
        winner = history.trials[choice.winner.trial]
        weights = yield from trainings.retrain(winner)
        candidate, kept = from_values(winner.values), folder.retraining / "tested.json"
        line = partial(Opening, by=f"study {study}", trial=winner.number, data_sha256=sha256)
        # The choice is frozen and the weights are on disk: only now may the test set be opened.
        ask = partial(tested, source, weights=weights, others=trainings.paid_for, machine=machine)
        test = ask(kept=kept, enter=lambda hashes: record(line(weights_sha256=hashes), storage=storage))
        yield Report(
            **{name: of[name] for name in ("study", "data", "metric")},
            device=machine.title,
            official=source.official,
            generated=source.generated,
            images=manifest.shape,
            candidate=candidate,
            cost=cost(candidate.architecture, images=manifest.shape),
            choice=choice,
            test=test,
            claims=request.claims,
            openings=known(),
            seconds=max(time.monotonic() - start, sum(row.result.seconds for row in trainings.trained) / plan.slots),
            trials={state: count for state, count in history.counts.items() if count},
            provenance=_provenance(request, history, plan=plan, winner=winner, machine=machine, source=source),
            history=trainings.epochs(),
            starts=history.starts,
            weights=weights,
            spared={row.number: row in plan.trials for row in history.trials if SPARED in row.attributes},
            about_images=_about_images(history, plan=plan, source=source, split=split, tested=test.n),
        )


def _plan(request: Decision, history: History, *, images: int, machine: Machine) -> Plan:
    asked = {name: getattr(request, name) for name in ("epochs", "candidates", "confirm_seeds", "seeds")}
    minutes = request.minutes or DECISION[machine.kind]
    return make_plan(history, images=images, slots=machine.slots, minutes=minutes, **asked)


def _about_images(history: History, *, plan: Plan, source: Source, split: Split, tested: int) -> tuple[str, ...]:
    side, size = history.manifest.shape.side, (history.starts or ({},))[0].get("image size", "as they are")
    given, parts = source.training().validation is not None, (len(split.training), len(split.validation), tested)
    train, validate, test = (f"{part:,} ({percent(part / sum(parts))})" for part in parts)
    origin = "as the source has them apart" if given else f"split off by class with seed {split.seed}"
    return (
        f"They are seen at {side} x {side} pixels, {size}.",
        f"{train} train, {validate} validate, {origin}; {test} test, the source's own unless it is said below.",
        "There are no folds: one validation part judges all candidates, in the confirmation with "
        f"{plural(plan.confirm_seeds, 'fresh seed')} each.",
        *source.notes,
    )


def _provenance(
    request: Decision, history: History, *, plan: Plan, winner: TrialRecord, machine: Machine, source: Source
) -> dict[str, str]:
    manifest = history.manifest
    part = f" of {manifest.images:,} images" if manifest.images else ""
    decision = f"{plan.confirm_epochs} a confirmation, {plan.final_epochs(winner)} the retraining"
    return {
        **provenance(machine, source=source, manifest=manifest, compile=request.compile),
        "epochs": f"{manifest.epochs} a trial{part}, {decision}",
        "threads": f"{machine.cores} cores",  # shared among as many trainings as there are at a time
    }
