"""How a study stands: what is done, what runs, the best so far, the time left."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies import StudyError
from studies.history import History, TrialRecord, latest_study, read_history
from studies.storage import masked, storage_url


@dataclass(frozen=True, kw_only=True)
class Status:
    """A study at one moment."""

    history: History
    storage: str  # its URL, the password masked

    @property
    def seconds_left(self) -> float | None:
        """From the mean time of the finished trials and how many run now; None while none runs or is finished."""
        times = [trial.seconds for trial in self.history.trials if trial.seconds is not None]
        running = self.history.counts["running"]
        if not times or not running:
            return None
        return max(0, self.history.planned - self.history.finished) * sum(times) / len(times) / running

    def as_json(self) -> dict[str, Any]:
        """What `status --json` prints; accuracies are shares of 1."""
        best = self.history.best
        return {
            "unit": "fraction",
            "study": self.history.study,
            "storage": self.storage,
            "planned": self.history.planned,
            "trials": dict(self.history.counts),
            "carried": self.history.carried,
            "foreign": [trial.number for trial in self.history.trials if trial.state == "foreign"],
            "metric": self.history.manifest.metric,
            "best": None if best is None else {"number": best.number, **accuracies(best)},
            "front": front_json(self.history),
            "running": [
                {"number": trial.number, "epoch": len(trial.epochs), **accuracies(trial)}
                for trial in self.history.trials
                if trial.state == "running"
            ],
            "seconds_left": self.seconds_left,
        }


def front_json(history: History) -> list[dict[str, Any]] | None:
    """The Pareto front of a study with a cost, cheapest first; None without a cost."""
    if (cost := history.manifest.cost) is None:
        return None
    return [{"number": trial.number, **accuracies(trial), cost: trial.attributes[cost]} for trial in history.front]


def accuracies(trial: TrialRecord) -> dict[str, float | None]:
    """The last validation accuracy, and the balanced one beside it where it was measured."""
    last = trial.curve[-1] if trial.curve else {}
    beside = {name: last[name] for name in ("validation_balanced_accuracy",) if last.get(name) is not None}
    return {"validation_accuracy": last.get("validation_accuracy", trial.accuracy), **beside}


def best_json(history: History) -> dict[str, Any]:
    """What `best --json` prints."""
    best = best_trial(history)
    return {
        "unit": "fraction",
        "study": history.study,
        "number": best.number,
        "metric": history.manifest.metric,
        **accuracies(best),
        "baseline": best.baseline,
        "values": best.values,
        "front": front_json(history),
        **best.attributes,
    }


def best_trial(history: History) -> TrialRecord:
    """The best complete trial within the limits. Raises StudyError where there is none yet."""
    if history.best is None:
        raise StudyError(
            f"study {history.study!r} has no complete trial yet ({len(history.trials)} begun); "
            "wait for one, or go on with `cifar-search run`"
        )
    return history.best


def read_status(folder: Path, *, storage: str | None = None, study: str | None = None) -> Status:
    """The study of that name, or else the one that was started last. Raises StudyError, StorageError."""
    url = storage_url(folder, storage)
    return Status(history=read_history(name_of(study, storage=url), storage=url), storage=masked(url))


def name_of(study: str | None, *, storage: str) -> str:
    """The name that was given, or else that of the study that was started last. Raises StudyError, StorageError."""
    name = study or latest_study(storage)
    if name is None:
        raise StudyError(f"{masked(storage)} holds no study yet; `cifar-search run` starts one")
    return name
