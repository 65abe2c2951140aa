"""How the time of a decision is divided, so that it ends when a person wants it to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from heapq import heapreplace
from itertools import product
from statistics import median

from search.planning.confirmation import contenders
from search.planning.forecast import work
from search.slots.job import patience
from search.text import plural
from studies.history import History, TrialRecord

RETRAINED_SHARE = 10 / 9  # all images are trained on, those of the validation part too
CONFIRMING = 1 / 6  # of the time goes to the confirmation, the rest to the final training (studies/results/LOG.md, 13)
CONFIRMED = 1 / 5  # likewise, epochs of a confirmation where those of the final training are asked for
ALONE = 0.9  # a training on all threads, beside as many trainings as there are slots (studies/results/LOG.md, 10)
CLOSE = 0.97  # of the time is planned: a forecast is sometimes too hopeful

# Where the longest final training leaves time, from the most evidence to the least: a second confirmation seed is worth
# more than a third test seed, since it decides; two test seeds are left out, because their interval is wider than
# one's (Student's t with one degree).
CANDIDATES, CONFIRM_SEEDS, SEEDS = (5, 4, 3), (2, 1), (3, 1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The trainings before the test set is opened."""

    trials: tuple[TrialRecord, ...]  # the candidates to confirm
    confirm_seeds: int  # fresh trainings of each
    confirm_epochs: int  # of each, as a complete schedule of its own
    seeds: int  # trainings of the winner on all images
    most: int  # epochs of each of these, whoever wins
    fewest: int
    slots: int
    pace: float  # seconds of an epoch per FLOP of the network, on one slot
    time: float  # seconds in which it should all end

    def epoch_seconds(self, trial: TrialRecord) -> float:
        """One epoch of this candidate on one slot."""
        return self.pace * trial.attributes["flops"]

    def final_seconds(self, trial: TrialRecord) -> float:
        """One epoch of all final trainings of this candidate."""
        return makespan([self.epoch_seconds(trial) * RETRAINED_SHARE] * self.seeds, slots=self.slots)

    def final_epochs(self, trial: TrialRecord) -> int:
        """The length of its final training: a small network is trained for longer in the same time."""
        return self.epochs_within(CLOSE * self.time - self.confirming_seconds, trial)

    def epochs_within(self, seconds: float, trial: TrialRecord) -> int:
        """The epochs of its final training that so many seconds allow."""
        return min(self.most, max(self.fewest, int(seconds / self.final_seconds(trial))))

    @property
    def confirming_seconds(self) -> float:
        costs = [self.epoch_seconds(trial) for trial in self.trials]
        return self.confirm_epochs * makespan(costs * self.confirm_seeds, slots=self.slots)

    @property
    def seconds(self) -> float:
        """Forecast of all trainings, if the costliest candidate wins."""
        return self.confirming_seconds + max(self.final_epochs(row) * self.final_seconds(row) for row in self.trials)

    @property
    def patience(self) -> float:
        """Seconds without an event before a slot counts as hung."""
        return patience(max(map(self.epoch_seconds, self.trials)))

    @property
    def title(self) -> str:
        """For a first line: what will be trained."""
        numbers = ", ".join(str(trial.number) for trial in self.trials)
        trials, seeds = f"trial{'s' * (len(self.trials) > 1)} {numbers}", plural(self.confirm_seeds, "fresh seed")
        lengths = sorted({self.final_epochs(trial) for trial in self.trials})
        length = " to ".join(map(str, dict.fromkeys((lengths[0], lengths[-1]))))
        confirming = f"confirm {trials} with {seeds} each, {self.confirm_epochs} epochs long"
        return f"{confirming}, retrain the winner with {self.seeds}, {length} epochs long"


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

    `images` are those of the training part, on all of which the plan trains. Where none fits with the longest final
    training, the leanest is taken, and its final training gets as many epochs as fit, one at least.
    """
    time, pace = 60 * minutes, _pace(history, images=images)
    most = epochs or history.manifest.retrain_epochs
    choices = product(
        [candidates] if candidates else CANDIDATES,
        [confirm_seeds] if confirm_seeds else CONFIRM_SEEDS,
        [seeds] if seeds else SEEDS,
    )

    def planned(count: int, confirming: int, retraining: int) -> Plan:
        plan = Plan(
            trials=(),
            confirm_seeds=confirming,
            confirm_epochs=1,
            seeds=retraining,
            most=most,
            fewest=epochs or 1,
            slots=slots,
            pace=pace,
            time=time,
        )
        trials = contenders(history, count, final=partial(plan.epochs_within, (1 - CONFIRMING) * time))
        plan = replace(plan, trials=trials)
        affordable = min(CONFIRMING * time / plan.confirming_seconds, CONFIRMED * most)
        return replace(plan, confirm_epochs=max(1, round(CONFIRMED * epochs if epochs else affordable)))

    plans = [planned(*choice) for choice in choices]
    whole = (plan for plan in plans if all(plan.final_epochs(trial) == most for trial in plan.trials))
    return next((plan for plan in whole if plan.seconds <= time), plans[-1])


def makespan(costs: Sequence[float], *, slots: int) -> float:
    """Seconds until jobs of these seconds are done, the longest first; fewer jobs than slots share all threads."""
    free = [0.0] * min(slots, len(costs))
    for cost in sorted(costs, reverse=True):
        heapreplace(free, free[0] + cost)
    return max(free) * len(free) / slots / (ALONE if len(free) < slots else 1.0)


def _pace(history: History, *, images: int) -> float:
    """The median over all trials: other work on the machine may have slowed down a single one."""
    numbers = [trial.attributes for trial in history.trials]
    trained = history.manifest.images or images  # of an epoch of a trial, which may take a part of the images
    alone = [row["training_seconds"] / row["flops"] for row in numbers if "training_seconds" in row]
    if alone:
        return median(alone) * work(images, whole=images) / trained
    looked = median(row["seconds_per_epoch"] / row["flops"] for row in numbers if "seconds_per_epoch" in row)
    return looked * work(images, whole=images) / work(trained, whole=images)
