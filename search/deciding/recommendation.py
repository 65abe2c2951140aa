"""Build or buy: the verdict that an interval allows against each claim, with what would change it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from search.deciding.request import Claim
from search.deciding.statistics import LEVEL, Interval, border_counts, images_needed, seed_half_width, wilson
from search.deciding.testing import OpenedTest, Score
from search.description import CIFAR10, ImageShape
from search.text import percent, plural

BuildOrBuy = Literal["build", "buy", "cannot-tell"]
Origin = Literal["public", "own", "generated"]  # of the images: CIFAR-10, a person's own, or made up by this program


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict:
    """What the interval says against one claim."""

    name: str
    accuracy: float  # the claim, a fraction
    verdict: BuildOrBuy
    margin_points: float  # percent, from the claim to the interval's nearer end: above 0 build, below 0 buy, 0 neither


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One verdict over all claims and the sentences that its numbers allow."""

    verdict: BuildOrBuy
    claims: tuple[ClaimVerdict, ...]
    reasons: tuple[str, ...]
    changes: tuple[str, ...]
    limits: tuple[str, ...]


def recommend(
    test: OpenedTest,
    claims: Sequence[Claim],
    *,
    images: ImageShape = CIFAR10,
    origin: Origin = "public",
    balanced: bool = False,
) -> Recommendation:
    """Judge a test against all claims: build if every one is beaten, buy if one cannot be."""
    score = test.score(balanced=balanced)
    judged = tuple(judge(claim, score.interval) for claim in claims)
    verdicts = {claim.verdict for claim in judged}
    verdict: BuildOrBuy = "buy" if "buy" in verdicts else "build" if verdicts == {"build"} else "cannot-tell"
    reasons, changes = _reasons(verdict, test, judged, score=score), tuple(_changes(test, judged, score=score))
    limits = _limits(judged[0], seeds=len(test.seeds), images=images, origin=origin)
    return Recommendation(verdict=verdict, claims=judged, reasons=reasons, changes=changes, limits=limits)


def judge(claim: Claim, interval: Interval) -> ClaimVerdict:
    """Build if the whole interval lies above the claim, buy if below, otherwise cannot-tell; touching is not above."""
    margin = max(0.0, interval.low - claim.accuracy) + min(0.0, interval.high - claim.accuracy)
    verdict: BuildOrBuy = "build" if margin > 0 else "buy" if margin < 0 else "cannot-tell"
    return ClaimVerdict(name=claim.name, accuracy=claim.accuracy, verdict=verdict, margin_points=100 * margin)


def stated(fraction: float) -> str:
    """A claim or a published number, with the digits it was stated with."""
    return f"{100 * fraction:.6g} %"


def between(interval: Interval) -> str:
    """An interval in words."""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def _reasons(verdict: BuildOrBuy, test: OpenedTest, judged: Sequence[ClaimVerdict], *, score: Score) -> tuple[str, ...]:
    trainings = "one training" if len(test.seeds) == 1 else f"the mean of {len(test.seeds)} trainings"
    return (
        {
            "build": "Build in-house: the whole interval lies above every claim.",
            "buy": "Buy: the whole interval lies below at least one claim.",
            "cannot-tell": "The test cannot tell: the interval holds at least one claim and lies below none.",
        }[verdict],
        f"The {'balanced ' * score.balanced}test accuracy is {percent(score.accuracy)} ({trainings}, {test.n:,} test "
        f"images); its {100 * LEVEL:g} % interval is {between(score.interval)}.",
        *([_compared(test, score)] if test.unequal or score.balanced else []),
        *(_against(claim, score) for claim in judged),
        "No cost was given, so none is weighed: the verdict compares accuracies only.",
    )


def _compared(test: OpenedTest, score: Score) -> str:
    about = "plain accuracy, the share of all that is right", "balanced accuracy, in which each class counts alike"
    beside = test.score(balanced=not score.balanced)
    other = f"{about[beside.balanced]}, is {percent(beside.accuracy)} ({between(beside.interval)})"
    return f"Claims are compared with the {about[score.balanced]}, by which the study chose; the {other}."


def _against(claim: ClaimVerdict, score: Score) -> str:
    points, equally = f"{abs(claim.margin_points):.2f} points", ", as many of each class," * score.balanced
    mistakes = round(10_000 * (score.accuracy - claim.accuracy))
    fewer = "fewer" if mistakes >= 0 else "more"
    measured = f"{abs(mistakes):,} {fewer} mistakes per 10,000 images{equally} than claimed"
    comparison = {
        "build": f"the lower end of the interval is {points} above it: build",
        "buy": f"the upper end of the interval is {points} below it: buy",
        "cannot-tell": "the interval holds it: cannot tell",
    }[claim.verdict]
    return f"{claim.name} claims {stated(claim.accuracy)}, and {comparison} (measured: {measured})."


def _changes(test: OpenedTest, judged: Sequence[ClaimVerdict], *, score: Score) -> Iterator[str]:
    low, high = map(percent, score.interval)
    yield f"This interval says build against any claim below {low} and buy against any above {high}."
    if score.balanced:
        fewest = min(test.per_class, key=lambda row: row.n)
        yield f"More images of the smallest class narrow it first: {fewest.name} has {plural(fewest.n, 'test image')}."
        return
    spread = seed_half_width(test.accuracies)
    for claim in judged:
        below, above = border_counts(claim.accuracy, test.n, spread=spread)
        build = "no accuracy" if above is None else f"{percent(above / test.n)} ({above:,} of {test.n:,} right) or more"
        buy = "no accuracy" if below is None else f"{percent(below / test.n)} ({below:,} right) or less"
        yield f"Against {claim.name}, {build} says build, {buy} says buy, and anything between cannot tell."
        if claim.verdict == "cannot-tell":
            yield _needed(claim, test.accuracy, spread=spread)


def _needed(claim: ClaimVerdict, accuracy: float, *, spread: float) -> str:
    images = images_needed(accuracy, claim.accuracy, spread=spread)
    if images is None:
        start = f"No number of test images alone would tell {percent(accuracy)} from {claim.name}: "
        return start + ("more seeds are needed." if spread else "the two are the same.")
    return (
        f"To tell {percent(accuracy)} from {claim.name}'s {stated(claim.accuracy)} takes about "
        f"{plural(images, 'test image')}; {claim.name}'s own answers on the same images would tell with fewer."
    )


def _limits(first: ClaimVerdict, *, seeds: int, images: ImageShape, origin: Origin) -> tuple[str, ...]:
    trainings = (
        "One training was tested: the interval covers the finite test set, not the spread between seeds."
        if seeds == 1
        else f"The interval covers the finite test set and the spread of {seeds} seeds, and errs on the wide side."
    )
    return (
        trainings,
        "A claim is taken at its word: it comes with no number of test images and no split. Had "
        f"{first.name}'s been measured on 1,000 images, its own interval would be "
        f"{between(wilson(round(1000 * first.accuracy), 1000))}.",
        f"There are {images.classes} classes, a closed set: every image shows one of them, and nothing here measures "
        "what happens to any other object.",
        f"The images are {images.side} x {images.side} pixels, one object each; larger photographs, video, weather and "
        "other cameras are not tested.",
        "Classification is not detection: nothing here finds where an object is, or several in one image.",
        {
            "public": "The images were public long before this test, so a vendor may have trained on them; ask for "
            "evidence on images of your own.",
            "own": "The images are your own: a claim that was measured on others says little about them; ask the "
            "vendor for answers on these.",
            "generated": "The images were made up by this program: no number here says anything about real ones.",
        }[origin],
    )
