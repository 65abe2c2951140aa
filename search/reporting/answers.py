"""The four questions that management asks of a classifier, answered from the numbers of a report."""

from __future__ import annotations

from dataclasses import dataclass

from search.deciding.evidence import Report, curves
from search.deciding.recommendation import stated
from search.reporting.literature import PUBLISHED
from search.text import counts, percent, plural


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
        Answer("How does it compare to the far more advanced solutions in the literature?", _literature(report)),
        Answer("What was done to get the accuracy?", _work_done(report)),
        Answer("Is it necessary to improve it, and what work would that be?", _work_ahead(report)),
    )


def _literature(report: Report) -> tuple[str, ...]:
    accuracy = report.test.accuracy
    passed = [row for row in PUBLISHED if row.accuracy < accuracy]
    ahead = [row for row in PUBLISHED if row.accuracy >= accuracy]
    sentences = [f"{len(passed)} of the {len(PUBLISHED)} published results in the table lie below it."]
    if ahead:
        points = f"{100 * (ahead[0].accuracy - accuracy):.2f} points"
        sentences.append(f"The next above is {ahead[0].name}, {stated(ahead[0].accuracy)}, {points} away.")
    last = PUBLISHED[-1]
    assert last.parameters is not None, "the table ends in a network whose size is known"
    sentences += [
        f"The last, {last.name}, has {stated(last.accuracy)} with {last.parameters / 1e6:.0f} M parameters, "
        f"{last.parameters / report.parameters:,.0f} times the {report.parameters:,} here, and learned from "
        f"{last.extra_data} first: not like for like with a network trained on 50,000 images from scratch.",
        "These are references, not offers: none of them is for sale, so none enters the verdict.",
    ]
    return tuple(sentences)


def _work_done(report: Report) -> tuple[str, ...]:
    trials = plural(sum(report.trials.values()), "trial")
    sentences = [f"A search of {trials} ({counts(report.trials)}) looked only at validation accuracy."]
    if report.confirmation:
        most = max(len(confirmed.accuracies) for confirmed in report.confirmation)
        sentences.append(
            f"For the choice {len(report.confirmation)} of them were trained again for {report.confirm_epochs} epochs, "
            f"each with up to {plural(most, 'fresh seed')}; the highest mean was chosen, a tie going to the cheaper."
        )
    family = report.candidate.get("architecture", {}).get("family")
    network = f"network of the {family} family" if family else "network"
    sentences += [
        f"The choice is a {network} with {report.parameters:,} parameters and {report.flops:,} FLOPs per image.",
        f"It was then trained on all training images with {plural(len(report.test.seeds), 'seed')}, and each training "
        "was tested once, without choosing an epoch or a seed by its test accuracy.",
    ]
    return tuple(sentences)


def _work_ahead(report: Report) -> tuple[str, ...]:
    verdict = report.recommendation.verdict
    needed = {
        "build": "It is not necessary in order to beat the claims: the verdict is build.",
        "buy": "Yes, if it is to be built: at least one claim lies above the whole interval.",
        "cannot-tell": "Yes, if a decision is wanted: better accuracy or more test images would settle it.",
    }[verdict]
    sentences = [needed]
    worst = min(report.test.per_class, key=lambda row: row.accuracy)
    sentences.append(f"The weakest class is {worst.name}, {percent(worst.accuracy)} of {worst.n:,} images.")
    for pair in report.test.confusions(1):
        lost = 100 * pair.count / report.test.n
        sentences.append(
            f"The most frequent mistake, {pair.true} taken for {pair.predicted}, makes {percent(pair.share_of_errors)} "
            f"of all errors: without it the accuracy would be {lost:.2f} points higher, so more or better images of "
            "these two are the first work to try."
        )
    sentences += _gap(report)
    sentences.append("Further work is a longer search and longer trainings; their gain is not known before they run.")
    return tuple(sentences)


def _gap(report: Report) -> list[str]:
    chosen = {confirmed.trial for confirmed in report.confirmation if confirmed.chosen}
    last = [rows[-1] for (trial, _), rows in curves(report.history, "confirmation").items() if trial in chosen]
    gaps = [
        row.train_accuracy - row.validation_accuracy
        for row in last
        if row.train_accuracy is not None and row.validation_accuracy is not None
    ]
    if not gaps:
        return []
    points = 100 * sum(gaps) / len(gaps)
    if points > 0:
        return [
            f"At the end of its confirmation, training accuracy was {points:.2f} points above validation: the network "
            "knows its training images better than new ones, which speaks for stronger augmentation or regularisation."
        ]
    return [
        f"At the end of its confirmation, training accuracy (on augmented images) was {-points:.2f} points below "
        "validation: no sign of overfitting, which speaks for longer training or a larger network."
    ]
