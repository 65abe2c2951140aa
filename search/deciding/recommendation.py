"""Build or buy: the verdict that an interval allows against each claim, with what would change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search.deciding.request import Claim
from search.deciding.statistics import LEVEL, Interval, border_counts, images_needed, wilson
from search.text import percent

BuildOrBuy = Literal["build", "buy", "cannot-tell"]


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict:
    """What the interval says against one claim."""

    name: str
    accuracy: float  # the claim, a fraction
    verdict: BuildOrBuy
    margin_points: float
    """Percentage points between the claim and the nearer end of the interval: above 0 build, below 0 buy, 0 neither."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One verdict over all claims and the sentences that its numbers allow."""

    verdict: BuildOrBuy
    accuracy: float
    interval: Interval
    claims: tuple[ClaimVerdict, ...]
    reasons: tuple[str, ...]
    changes: tuple[str, ...]
    limits: tuple[str, ...]


def recommend(
    accuracy: float, interval: Interval, claims: Sequence[Claim], *, n: int, seeds: int = 1, spread: float = 0.0
) -> Recommendation:
    """Judge a test accuracy, its interval on `n` images and `seeds` seeds, against all claims.

    `spread` is the seeds' half of the interval (`statistics.seed_half_width`), needed to say where verdicts flip.
    """
    judged = tuple(judge(claim, interval) for claim in claims)
    verdicts = {claim.verdict for claim in judged}
    verdict: BuildOrBuy = "cannot-tell"
    if "buy" in verdicts:
        verdict = "buy"
    elif verdicts == {"build"}:
        verdict = "build"
    return Recommendation(
        verdict=verdict,
        accuracy=accuracy,
        interval=interval,
        claims=judged,
        reasons=_reasons(verdict, accuracy, interval, judged, n=n, seeds=seeds),
        changes=_changes(accuracy, interval, judged, n=n, spread=spread),
        limits=_limits(judged[0], seeds=seeds),
    )


def judge(claim: Claim, interval: Interval) -> ClaimVerdict:
    """Build if the whole interval lies above the claim, buy if below, otherwise cannot-tell; touching is not above."""
    verdict: BuildOrBuy = "cannot-tell"
    margin = 0.0
    if interval.low > claim.accuracy:
        verdict, margin = "build", interval.low - claim.accuracy
    elif interval.high < claim.accuracy:
        verdict, margin = "buy", interval.high - claim.accuracy
    return ClaimVerdict(name=claim.name, accuracy=claim.accuracy, verdict=verdict, margin_points=100 * margin)


def stated(fraction: float) -> str:
    """A claim or a published number, with the digits it was stated with."""
    return f"{100 * fraction:.6g} %"


def between(interval: Interval) -> str:
    """An interval in words."""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def _reasons(
    verdict: BuildOrBuy, accuracy: float, interval: Interval, judged: Sequence[ClaimVerdict], *, n: int, seeds: int
) -> tuple[str, ...]:
    trainings = "one training" if seeds == 1 else f"the mean of {seeds} trainings"
    return (
        {
            "build": "Build in-house: the whole interval lies above every claim.",
            "buy": "Buy: the whole interval lies below at least one claim.",
            "cannot-tell": "The test cannot tell: the interval holds at least one claim and lies below none.",
        }[verdict],
        f"The test accuracy is {percent(accuracy)} ({trainings}, {n:,} test images); "
        f"its {100 * LEVEL:g} % interval is {between(interval)}.",
        *(_against(claim, accuracy) for claim in judged),
        "No cost was given, so none is weighed: the verdict compares accuracies only.",
    )


def _against(claim: ClaimVerdict, accuracy: float) -> str:
    points = f"{abs(claim.margin_points):.2f} points"
    mistakes = round(10_000 * (accuracy - claim.accuracy))
    measured = f"{abs(mistakes):,} {'fewer' if mistakes >= 0 else 'more'} mistakes per 10,000 images than claimed"
    comparison = {
        "build": f"the lower end of the interval is {points} above it: build",
        "buy": f"the upper end of the interval is {points} below it: buy",
        "cannot-tell": "the interval holds it: cannot tell",
    }[claim.verdict]
    return f"{claim.name} claims {stated(claim.accuracy)}, and {comparison} (measured: {measured})."


def _changes(
    accuracy: float, interval: Interval, judged: Sequence[ClaimVerdict], *, n: int, spread: float
) -> tuple[str, ...]:
    sentences = [
        f"This interval says build against any claim below {percent(interval.low)} "
        f"and buy against any above {percent(interval.high)}."
    ]
    for claim in judged:
        sentences.append(_flips(claim, n=n, spread=spread))
        if claim.verdict == "cannot-tell":
            sentences.append(_needed(claim, accuracy, spread=spread))
    return tuple(sentences)


def _flips(claim: ClaimVerdict, *, n: int, spread: float) -> str:
    below, above = border_counts(claim.accuracy, n, spread=spread)
    build = "no accuracy" if above is None else f"{percent(above / n)} ({above:,} of {n:,} right) or more"
    buy = "no accuracy" if below is None else f"{percent(below / n)} ({below:,} right) or less"
    return f"Against {claim.name}, {build} says build, {buy} says buy, and anything between cannot tell."


def _needed(claim: ClaimVerdict, accuracy: float, *, spread: float) -> str:
    images = images_needed(accuracy, claim.accuracy, spread=spread)
    if images is None:
        start = f"No number of test images alone would tell {percent(accuracy)} from {claim.name}: "
        return start + ("more seeds are needed." if spread else "the two are the same.")
    return (
        f"To tell {percent(accuracy)} from {claim.name}'s {stated(claim.accuracy)} takes about {images:,} test "
        f"images; {claim.name}'s own answers on the same images would tell with fewer."
    )


def _limits(first: ClaimVerdict, *, seeds: int) -> tuple[str, ...]:
    own = wilson(round(1000 * first.accuracy), 1000)
    trainings = (
        "One training was tested: the interval covers the finite test set, not the spread between seeds."
        if seeds == 1
        else f"The interval covers the finite test set and the spread of {seeds} seeds, and errs on the wide side."
    )
    return (
        trainings,
        "A claim is taken at its word: it comes with no number of test images and no split. "
        f"Had {first.name}'s been measured on 1,000 images, its own interval would be {between(own)}.",
        "CIFAR-10 has ten classes and is a closed set: every image shows one of them, and nothing here measures what "
        "happens to any other object.",
        "Its images are 32 x 32 pixels, one centred object each; larger photographs, video, weather and other cameras "
        "are not tested.",
        "Classification is not detection: nothing here finds where an object is, or several in one image.",
        "The images were public long before this test, so a vendor may have trained on them; ask for evidence on "
        "images of your own.",
    )
