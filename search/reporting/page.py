"""The page that a person reads: a report as Markdown, the verdict first."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from search.deciding.decide import Report
from search.deciding.recommendation import BuildOrBuy, between, stated
from search.deciding.statistics import LEVEL, seed_half_width
from search.deciding.testing import ABOUT_VIEWS
from search.reporting.answers import PUBLISHED, answers
from search.text import counts, duration, percent, plural

LOSSES, CONFUSION, PER_CLASS = "losses.png", "confusion.png", "per_class.png"
PICTURES = {LOSSES: "draw_losses", CONFUSION: "draw_confusion", PER_CLASS: "draw_classes"}  # of the module pictures

_TITLES: dict[BuildOrBuy, str] = {"build": "Build in-house", "buy": "Buy", "cannot-tell": "Cannot tell"}


def page(report: Report, *, undrawn: Mapping[str, str] = {}) -> str:
    """The whole report.md; `undrawn` are the pictures that could not be drawn, and why."""
    blocks = [
        *_head(report),
        "## Numbers",
        _numbers(report),
        ABOUT_VIEWS,
        "## Claims",
        *_claims(report, pictured={LOSSES, PER_CLASS} - undrawn.keys()),
        "## Recommendation",
        *_recommendation(report),
        "## The images",
        _list(report.about_images),
        "## Published",
        "References, not offers. They end in a network that was pre-trained on another, much larger data set; later "
        "ones with still more data go higher (ViT-H/14, 632 M parameters, 99.5 %, arXiv 2010.11929).",
        _published(report),
        "## Classes",
        *_classes(report),
        _picture("Accuracy by class", PER_CLASS, undrawn),
        _picture("Confusion matrix", CONFUSION, undrawn),
        "The counts of the matrix are summed over the seeds.",
        "## Training",
        _picture("Loss and accuracy by epoch", LOSSES, undrawn),
        "Every epoch of every training is in [history.csv](history.csv).",
        "## How the number was obtained",
        *_protocol(report),
        "## Candidate",
        "```json\n" + json.dumps(report.candidate.as_dict(), indent=2) + "\n```",
        "## Provenance",
        _table(("what", "value"), sorted(report.provenance.items())),
    ]
    return "\n\n".join(blocks) + "\n"


def dashboard_note(report: Report, folder: Path) -> str:
    """What the dashboard shows of a decision; the report lies in `folder`."""
    winner = report.choice.winner
    return (
        f"**Best: trial {winner.trial}**, confirmed at {percent(winner.mean)} {report.metric} after "
        f"{report.confirm_epochs} epochs, {_tested(report)} on {report.test.n:,} test images. "
        f"Verdict: **{report.recommendation.verdict}**.\n\nThe report lies in {_text(str(folder))}."
    )


def _head(report: Report) -> Iterator[str]:
    verdict, reasons = report.recommendation.verdict, report.recommendation.reasons
    yield f"# {_TITLES[verdict]}: {_tested(report)} on the test images"
    yield f"**Verdict: {verdict}.** {_text(' '.join(reasons[:2]))}"
    if report.generated:
        yield (
            f"> **Warning: {_text(report.data)}.** This is a rehearsal: its accuracy says nothing about CIFAR-10, and "
            "its verdict must not be signed."
        )
    if len(report.openings) > 1:
        times, who = plural(len(report.openings), "time"), "; ".join(opening.title for opening in report.openings)
        yield (
            f"> **Warning: the test set was opened {times}** ({_text(who)}). Whatever was chosen after the first one "
            "may have been chosen because of it: the accuracy here is no longer a first look, and its interval is too "
            "narrow."
        )


def _tested(report: Report) -> str:
    return percent(report.score.accuracy) + " balanced accuracy" * report.score.balanced


def _numbers(report: Report) -> str:
    test, balanced = report.test, report.test.score(balanced=True)
    beside, together = f"{percent(balanced.accuracy)} ({between(balanced.interval)})", test.accuracy_of_ensemble
    rows = [
        ("test accuracy", percent(test.accuracy)),
        (f"{100 * LEVEL:g} % interval", between(test.interval)),
        *([("balanced test accuracy, each class counts alike", beside)] if test.unequal else []),
        ("test images", f"{test.n:,}"),
        *((f"right with seed {seed}", f"{count:,}") for seed, count in zip(test.seeds, test.correct, strict=True)),
        ("test accuracy with test-time views (nothing rests on it)", percent(test.accuracy_with_views)),
        *([(f"ensemble of all {test.members} networks, with views (likewise)", percent(together))] if together else []),
        (f"{report.metric} (it was chosen by this)", percent(report.choice.winner.mean)),
        ("parameters", f"{report.cost.parameters:,}"),
        ("FLOPs per image", f"{report.cost.flops:,}"),
        ("trials", counts(report.trials)),
        ("test set opened", f"{len(report.openings)} x"),
        ("time for confirming, retraining and testing", duration(report.seconds)),
        ("device", report.device),
        ("data", report.data),
        ("study", report.study),
    ]
    return _table(("what", "value"), rows)


def _claims(report: Report, *, pictured: Collection[str]) -> Iterator[str]:
    rows = []
    for claim in report.recommendation.claims:
        margin = "inside" if claim.verdict == "cannot-tell" else f"{claim.margin_points:+.2f} points"
        rows.append((claim.name, stated(claim.accuracy), claim.verdict, margin))
    yield _table(("claim", "stated", "verdict", "from the claim to the interval"), rows)
    if not pictured:
        return
    from search.reporting.pictures import label  # where it cannot be imported, there are no pictures

    labels = {label(claim, report.claims): claim.name for claim in report.claims}
    if others := [f"{shown} is {name}" for shown, name in labels.items() if shown != name]:
        yield f"No font of this machine has the letters of a name, so in the pictures {_text(', '.join(others))}."


def _recommendation(report: Report) -> Iterator[str]:
    for answer in answers(report):
        yield f"### {_text(answer.question)}"
        yield _text(" ".join(answer.sentences))
    yield "### What would change it"
    yield _list(report.recommendation.changes)
    yield "### What this benchmark cannot show"
    yield _list(report.recommendation.limits)


def _published(report: Report) -> str:
    accuracy = report.test.accuracy
    rows = []
    for row in PUBLISHED:
        size = f"{row.parameters / 1e6:.1f} M" if row.parameters else "not stated"
        source = f"{row.source}; {row.note}" if row.note else row.source
        rows.append((row.name, str(row.year), stated(row.accuracy), size, row.extra_data, source))
    ours = ("this report", "", percent(accuracy), f"{report.cost.parameters / 1e6:.1f} M", "none", "")
    rows.insert(sum(row.accuracy < accuracy for row in PUBLISHED), ours)
    return _table(("what", "year", "accuracy", "parameters", "extra data", "source"), rows)


def _classes(report: Report) -> Iterator[str]:
    worst, *_, best = sorted(report.test.per_class, key=lambda row: row.accuracy)
    mistakes = [
        f"{pair.true} is taken for {pair.predicted} in {percent(pair.share)} of its images ({pair.count:g})"
        for pair in report.test.confusions(3)
    ]
    yield (
        f"The weakest class is {worst.name} ({percent(worst.accuracy)}), the strongest {best.name} "
        f"({percent(best.accuracy)}). The most frequent confusions: {'; '.join(mistakes) or 'none'}."
    )
    yield _table(
        ("class", "accuracy", "95 % interval", "images"),
        [(row.name, percent(row.accuracy), between(row.interval), f"{row.n:,}") for row in report.test.per_class],
    )


def _protocol(report: Report) -> Iterator[str]:
    yield (
        "Search, pruning and choosing saw a fixed validation part of the training images. The choice was frozen before "
        f"the test set was opened. Openings of these test images in this storage: {len(report.openings)}, oldest first:"
    )
    yield "\n".join(f"{number}. {_text(opening.title)}" for number, opening in enumerate(report.openings, 1))
    rows = []
    for row in report.choice.confirmation:
        mean, seeds = percent(row.mean), ", ".join(map(percent, row.accuracies))
        if len(row.accuracies) > 1:
            mean += f" ± {100 * seed_half_width(row.accuracies):.2f}"
        chosen = "yes" if row is report.choice.winner else ""
        rows.append((str(row.trial), seeds, mean, f"{row.flops:,}", chosen))
    by_seed = f"{report.metric} after {report.confirm_epochs} epochs, by seed"
    yield _table(("trial", by_seed, "mean, 95 % interval", "FLOPs per image", "chosen"), rows)
    if report.choice.dropped:
        yield "These trainings failed, and their candidates were left out:\n\n" + _list(report.choice.dropped)
    if report.optimism:
        spread, luck = report.optimism
        yield (
            f"The best of many looks better than it is. Between seeds the {report.metric} varies by "
            f"{100 * spread:.2f} points (standard deviation in the confirmation); if all "
            f"{report.trials['complete']} complete trials were equally good, the best of them would still look "
            f"{100 * luck:.2f} points better than it is. Hence the fresh seeds, and the untouched test images."
        )


def _picture(title: str, name: str, undrawn: Mapping[str, str]) -> str:
    return f"{title} could not be drawn: {_text(undrawn[name])}" if name in undrawn else f"![{title}]({name})"


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {_text(sentence)}" for sentence in sentences)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(text: str) -> str:
    """One line of Markdown in which names and command lines cannot break a table or smuggle in HTML."""
    text = re.sub(r"[\\|`\[*~$]|\b_|_\b", r"\\\g<0>", text.replace("&", "&amp;").replace("<", "&lt;"))
    return " ".join(text.split())
