"""The four questions that management asks of a classifier, answered from a report and the published results."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from statistics import fmean

from search.deciding.decide import Report
from search.deciding.recommendation import stated
from search.deciding.trainings import curves
from search.text import counts, percent, plural


@dataclass(frozen=True, kw_only=True)
class PublishedResult:
    """One published test accuracy on CIFAR-10: a reference with its source, no offer."""

    name: str
    year: int
    accuracy: float  # a fraction
    parameters: int | None  # None: the source states none
    extra_data: str  # what was learned from besides the 50,000 training images
    source: str
    note: str = ""


_ROWS = json.loads((files("search.reporting") / "literature.json").read_text(encoding="utf-8"))
PUBLISHED = tuple(PublishedResult(**row) for row in _ROWS)  # in ascending order


@dataclass(frozen=True)
class Answer:
    """One question and the sentences that answer it."""

    question: str
    sentences: tuple[str, ...]


def answers(report: Report) -> tuple[Answer, ...]:
    """The questions of the brief that this project answers, in its order."""
    names = ", ".join(claim.name for claim in report.claims)
    return (
        Answer(f"How does it compare to {names}?", report.recommendation.reasons),
        Answer("How does it compare to the far more advanced solutions in the literature?", tuple(_literature(report))),
        Answer("What was done to get the accuracy?", tuple(_work_done(report))),
        Answer("Is it necessary to improve it, and what work would that be?", tuple(_work_ahead(report))),
    )


def _literature(report: Report) -> Iterator[str]:
    if not report.official:
        yield "The published results are on CIFAR-10, and these images are others: they cannot be compared."
        return
    accuracy = report.test.accuracy
    ahead = [row for row in PUBLISHED if row.accuracy >= accuracy]
    yield f"{len(PUBLISHED) - len(ahead)} of the {len(PUBLISHED)} published results in the table lie below it."
    if ahead:
        points = f"{100 * (ahead[0].accuracy - accuracy):.2f} points"
        yield f"The next above is {ahead[0].name}, {stated(ahead[0].accuracy)}, {points} away."
    last = PUBLISHED[-1]
    assert last.parameters is not None, "the table ends in a network whose size is known"
    yield (
        f"The last, {last.name}, has {stated(last.accuracy)} with {last.parameters / 1e6:.0f} M parameters, "
        f"{last.parameters / report.cost.parameters:,.0f} times the {report.cost.parameters:,} here, and learned from "
        f"{last.extra_data} first: not like for like with a network trained on 50,000 images from scratch."
    )
    yield "These are references, not offers: none of them is for sale, so none enters the verdict."


def _work_done(report: Report) -> Iterator[str]:
    trials, confirmation = plural(sum(report.trials.values()), "trial"), report.choice.confirmation
    seeds = plural(max(len(row.accuracies) for row in confirmation), "fresh seed")
    yield f"A search of {trials} ({counts(report.trials)}) looked only at {report.metric}."
    yield (
        f"For the choice {len(confirmation)} of them were trained again for {report.confirm_epochs} epochs, each with "
        f"up to {seeds}; the highest mean was chosen, a tie going to the recipe known for so long a training, else to "
        "the cheaper."
    )
    if gain := report.choice.gain:
        yield gain.title
    if spared := report.spared:
        trials, confirmed = plural(len(spared), "trial"), sum(spared.values()) or "none"
        yield f"To see what pruning loses, it spared {trials}, of which {confirmed} came into the confirmation."
    yield (
        f"The choice is a network of the {report.candidate.architecture.family} family with {report.cost.parameters:,} "
        f"parameters and {report.cost.flops:,} FLOPs per image."
    )
    yield (
        f"It was then trained on all training images with {plural(len(report.test.seeds), 'seed')}, and each training "
        "was tested once, without choosing an epoch or a seed by its test accuracy."
    )


def _work_ahead(report: Report) -> Iterator[str]:
    yield {
        "build": "It is not necessary in order to beat the claims: the verdict is build.",
        "buy": "Yes, if it is to be built: at least one claim lies above the whole interval.",
        "cannot-tell": "Yes, if a decision is wanted: better accuracy or more test images would settle it.",
    }[report.recommendation.verdict]
    worst = min(report.test.per_class, key=lambda row: row.accuracy)
    yield f"The weakest class is {worst.name}, {percent(worst.accuracy)} of {worst.n:,} images."
    for pair in report.test.confusions(1):
        lost = 100 * pair.count / report.test.n
        yield (
            f"The most frequent mistake, {pair.true} taken for {pair.predicted}, makes {percent(pair.share_of_errors)} "
            f"of all errors: without it the accuracy would be {lost:.2f} points higher, so more or better images of "
            "these two are the first work to try."
        )
    yield _gap(report)
    yield "Further work is a longer search and longer trainings; their gain is not known before they run."


def _gap(report: Report) -> str:
    confirmations = curves(report.history, "confirmation").items()
    last = [results[-1] for (trial, _), results in confirmations if trial == report.choice.winner.trial]
    points = 100 * fmean(row.train_accuracy - (row.validation_accuracy or 0.0) for row in last)
    if points > 0:
        return (
            f"At the end of its confirmation, training accuracy was {points:.2f} points above validation: the network "
            "knows its training images better than new ones, which speaks for stronger augmentation or regularisation."
        )
    return (
        f"At the end of its confirmation, training accuracy (on augmented images) was {-points:.2f} points below "
        "validation: no sign of overfitting, which speaks for longer training or a larger network."
    )
