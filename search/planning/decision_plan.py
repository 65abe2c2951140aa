"""How many trainings the decision may cost, so that it ends in the time a person gives it."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace
from itertools import product
from statistics import median

from search.planning.confirmation import contenders
from search.planning.forecast import work
from search.slots.job import patience
from search.text import plural
from studies.history import History, TrialRecord

RETRAINED_SHARE = 10 / 9  # all images are trained on, those of the validation part too

# From the most evidence to the least: a second confirmation seed is worth more than a third test seed, since it
# decides; two test seeds are left out, because their interval is wider than one's (Student's t with one degree). Less
# evidence is taken before a shorter training: the last epochs of ten are worth more than a third candidate.
CANDIDATES, CONFIRM_SEEDS, SEEDS = (4, 3, 2), (2, 1), (3, 1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The trainings before the test set is opened."""

    trials: tuple[TrialRecord, ...]  # the candidates to confirm, best first
    confirm_seeds: int  # fresh trainings of each
    seeds: int  # trainings of the winner on all images
    epochs: int  # of each training of the winner
    slots: int
    pace: float  # seconds of an epoch per FLOP of the network, on one slot

    @property
    def confirm_epochs(self) -> int:
        """Half of the final training, as a complete schedule of its own."""
        # Twice the candidates for the time, in nearly the order that whole trainings give (studies/results/LOG.md, 10).
        return -(-self.epochs // 2)

    @property
    def epoch_seconds(self) -> list[float]:
        """One epoch of each candidate on one slot."""
        return [self.pace * trial.attributes["flops"] for trial in self.trials]

    @property
    def seconds(self) -> float:
        """Forecast of all trainings."""
        costs = self.epoch_seconds
        confirming = makespan(costs * self.confirm_seeds, slots=self.slots)
        retraining = makespan([max(costs) * RETRAINED_SHARE] * self.seeds, slots=self.slots)
        return self.confirm_epochs * confirming + self.epochs * retraining

    @property
    def work(self) -> float:
        """The same on one slot."""
        retraining = self.epochs * self.seeds * max(self.epoch_seconds) * RETRAINED_SHARE
        return self.confirm_epochs * self.confirm_seeds * sum(self.epoch_seconds) + retraining

    @property
    def patience(self) -> float:
        """Seconds without an event before a slot counts as hung."""
        return patience(max(self.epoch_seconds))

    @property
    def title(self) -> str:
        """For a first line: what will be trained."""
        numbers = ", ".join(str(trial.number) for trial in self.trials)
        trials, seeds = f"trial{'s' * (len(self.trials) > 1)} {numbers}", plural(self.confirm_seeds, "fresh seed")
        confirming = f"confirm {trials} with {seeds} each, {self.confirm_epochs} epochs long"
        return f"{confirming}, retrain the winner with {self.seeds}, {self.epochs} epochs long"


def make_plan(
    history: History,
    *,
    images: int,
    slots: int,
    minutes: float,
    epochs: int | None = None,
    candidates: int | None = None,
    confirm_seeds: int | None = None,
    seeds: int | None = None,
) -> Plan:
    """The most thorough plan that fits the time; what a person asks for stays as asked.

    `images` are those of the training part, on all of which the plan trains. Where no plan fits, the final training
    gets fewer epochs, but never fewer than a trial has.
    """
    longest = epochs or history.manifest.retrain_epochs
    shortest = epochs or min(longest, history.manifest.epochs)
    choices = product(
        range(longest, shortest - 1, -1),
        [contenders(history, count) for count in ([candidates] if candidates else CANDIDATES)],
        [confirm_seeds] if confirm_seeds else CONFIRM_SEEDS,
        [seeds] if seeds else SEEDS,
    )
    pace = _pace(history, images=images)
    plans = [
        Plan(trials=trials, confirm_seeds=confirming, seeds=retraining, epochs=length, slots=slots, pace=pace)
        for length, trials, confirming, retraining in choices
    ]
    return next((plan for plan in plans if plan.seconds <= 60 * minutes), plans[-1])


def makespan(costs: Sequence[float], *, slots: int) -> float:
    """Seconds until jobs of these seconds are done, the longest first; fewer jobs than slots share all threads."""
    free = [0.0] * min(slots, len(costs))
    for cost in sorted(costs, reverse=True):
        heapreplace(free, free[0] + cost)
    return max(free) * len(free) / slots


def _pace(history: History, *, images: int) -> float:
    """The median over all trials: other work on the machine may have slowed down a single one."""
    numbers = [trial.attributes for trial in history.trials]
    pace = median(row["seconds_per_epoch"] / row["flops"] for row in numbers if "seconds_per_epoch" in row)
    trained = history.manifest.images or images  # the trials may have trained on a part of the images
    return pace * work(images, whole=images) / work(trained, whole=images)
