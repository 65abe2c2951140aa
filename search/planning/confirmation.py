"""The rule which trials of a study are confirmed."""

from studies import StudyError
from studies.history import History, TrialRecord


def contenders(history: History, count: int) -> tuple[TrialRecord, ...]:
    """The best trials, best first; where there is room for two, the first baseline is always among them."""
    # Baselines are good at long trainings: short trials prefer what is quick at the start (studies/results/LOG.md, 10),
    # and the reader of the report wants to know what the search gained over them.
    ranked = history.top(len(history.trials))
    baseline = min((trial for trial in ranked if trial.baseline), key=lambda trial: trial.number, default=None)
    best = ranked[:count]
    return best if baseline is None or baseline in best or count == 1 else (*best[:-1], baseline)


def check_complete(history: History) -> None:
    """Raises StudyError where there is nothing to retrain."""
    if not history.best:
        raise StudyError(
            f"study {history.study!r} has no complete trial within its limits to retrain; "
            "go on with `cifar-search run`, with --pruner none if all were pruned"
        )
