"""What must be true of a study's records, whatever happened to it."""

from collections.abc import Iterator
from dataclasses import dataclass

from studies.history import MOST_RETRIES, History, TrialRecord
from studies.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A rule that does not hold."""

    rule: str
    trial: int | None  # None: it is about the study
    message: str
    fixable: bool = False  # by `cifar-search doctor --fix`


def violations_of(history: History, *, searching: bool) -> list[Finding]:
    """Every rule that the records break; `searching` says whether a process owns the study now."""
    left = [trial for trial in history.trials if trial.state == "running" and not searching]
    return [
        *_of_study(history),
        *(
            Finding(
                rule="a running trial has a living supervisor",
                trial=trial.number,
                message=f"trial {trial.number} is running, but no search owns the study",
                fixable=True,
            )
            for trial in left
        ),
        *(
            Finding(rule=rule, trial=trial.number, message=f"trial {trial.number} {message}")
            for trial in history.trials
            for rule, message in _of_trial(trial, history.manifest)
        ),
    ]


def _of_study(history: History) -> Iterator[Finding]:
    numbers = [trial.number for trial in history.trials]
    if numbers != list(range(len(numbers))):
        rule = "trials are numbered from 0 without gaps or repeats"
        yield Finding(rule=rule, trial=None, message=f"the numbers are {numbers}")
    begun = sum(trial.state != "waiting" and not trial.carried for trial in history.trials)
    most = max([history.planned, *(int(start.get("trials", 0)) for start in history.starts)])
    if begun > most:
        message = f"{begun} trials were begun, and no start asked for more than {most}"
        yield Finding(rule="no more trials than were asked for", trial=None, message=message)


def _of_trial(trial: TrialRecord, manifest: Manifest) -> Iterator[tuple[str, str]]:
    reported = [epoch for epoch, _ in trial.epochs]
    measured = [row.get("epoch") for row in trial.curve]
    ahead = trial.state != "complete" and measured[:-1] == reported  # it is stored first: a kill may come in between
    if len(set(measured)) != len(measured) or not (measured == reported or ahead):
        yield "an epoch is reported and measured once", f"reported epochs {reported} and measured {measured}"
    if not trial.carried and trial.seed not in (None, manifest.seed_of(trial.number)):
        yield "a trial's seed comes from the study's and its number", f"has the seed {trial.seed}"
    attempts = [loss.attempt for loss in trial.losses]
    if len(set(attempts)) != len(attempts) or any(attempt > trial.attempts for attempt in attempts):
        yield "an attempt is lost once", f"lost its attempts {attempts}, of {trial.attempts}"
    if len(attempts) > MOST_RETRIES + 1 or (len(attempts) > MOST_RETRIES and trial.state in ("waiting", "complete")):
        yield "a trial that is lost too often fails", f"was lost {len(attempts)} times, is {trial.state}"
    if trial.state == "complete":
        yield from _of_complete(trial, manifest, reported)
    if trial.state == "pruned" and trial.accuracy is None and trial.feasible:
        yield "a pruned trial has an accuracy or violates a constraint", "has neither"
    if trial.state == "failed" and not trial.outcome:
        yield "a failed trial says why", "does not; another program ended it, such as the dashboard"


def _of_complete(trial: TrialRecord, manifest: Manifest, reported: list[int]) -> Iterator[tuple[str, str]]:
    if reported != list(range(1, manifest.epochs + 1)):
        yield "a complete trial has every epoch", f"reported {reported} of {manifest.epochs}"
    elif trial.accuracy != trial.epochs[-1][1]:
        yield "a complete trial has its last epoch's accuracy", f"has {trial.accuracy}, reported {trial.epochs[-1][1]}"
    if not trial.values or trial.seed is None:
        yield "a complete trial has its values and its seed", f"has {len(trial.values)} values and seed {trial.seed}"
    if trial.attempts and not trial.checkpoint:
        yield "a complete trial has its checkpoint's SHA-256", "has none"
