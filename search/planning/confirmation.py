"""The rules which trials of a study are confirmed, and which of these is trained to the end."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from search.measuring.seed_spread import seed_spread
from studies import StudyError
from studies.algorithms import apart
from studies.history import History, TrialRecord

Epochs = Callable[[TrialRecord], int]  # of a final training of this trial


def contenders(history: History, count: int, *, final: Epochs) -> tuple[TrialRecord, ...]:
    """The best trials, best first, then what is known of the space; `count` in all, of one the best alone.

    Short trials prefer what is quick at the start (studies/results/LOG.md, 10 and 13), so what is known for long
    trainings is asked too, pruned or not: the recipe that suits the final training, and the space's first one, since
    the reader of the report wants to know what the search gained over it.
    """
    best, first = history.top(len(history.trials)), first_recipe(history)
    if first is None or count == 1:
        return best[:count]
    known = [first]
    if (suiting := suiting_recipe(history, final=final)) and suiting != first and count > 2:
        known = [suiting, first]
    others = [trial for trial in best if trial not in known]
    return (*others[: count - len(known)], *known)


def recipes(history: History) -> list[TrialRecord]:
    """The known recipes that were trained, in the order in which the space names them."""
    tried = [trial for trial in history.trials if trial.baseline and trial.feasible and trial.epochs]
    return [trial for trial in tried if trial.state in ("complete", "pruned")]


def first_recipe(history: History) -> TrialRecord | None:
    """The space's first known recipe; None where it has none that may be trained."""
    return next(iter(recipes(history)), None)


def suiting_recipe(history: History, *, final: Epochs) -> TrialRecord | None:
    """The known recipe that suits its own final training best."""
    known = recipes(history)
    return min(known, key=lambda trial: apart(trial.attributes, final(trial)), default=None)


def check_complete(history: History) -> None:
    """Raises StudyError where there is nothing to retrain."""
    if not history.best:
        raise StudyError(
            f"study {history.study!r} has no complete trial within its limits to retrain; "
            "go on with `cifar-search run`, with --pruner none if all were pruned"
        )


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """One of the best trials, trained again with fresh seeds."""

    trial: int
    accuracies: tuple[float, ...]  # validation, by the metric of the study, one per seed
    flops: int

    @property
    def mean(self) -> float:
        """The mean validation accuracy over the seeds."""
        return fmean(self.accuracies)


def choose(confirmation: Sequence[Confirmed], *, images: float, suiting: int | None = None) -> Confirmed:
    """The candidate of the highest mean, all trained for as many epochs.

    Of those that tie with it, the recipe known to suit so long a training, which is trial `suiting`; else the cheapest.
    In the final training a dear network gets fewer epochs, but what it is ahead grows with their number: the two come
    to the same (studies/results/LOG.md, 13).
    """
    # Two tie when their means, on so many validation images, differ by at most one standard error of such a difference.
    best = max(row.mean for row in confirmation)
    ties = [row for row in confirmation if best - row.mean <= tie_width(len(row.accuracies), images=images)]
    return min(ties, key=lambda row: (row.trial != suiting, row.flops, -row.mean, row.trial))


def tie_width(seeds: int, *, images: float) -> float:
    """Standard error of the difference of two means over so many seeds, as a fraction."""
    return seed_spread(images) * math.sqrt(2 / seeds)
