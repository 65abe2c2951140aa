"""What must be true of a study's records, whatever happened to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from studies.history import MOST_RETRIES, History, Reader, TrialRecord, find_study, study_attributes
from studies.manifest import Manifest
from studies.owner import BEAT, Watch, owners
from studies.storage import opened, shareable


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A rule that does not hold."""

    rule: str
    trial: int | None  # None: it is about the study
    message: str
    fixable: bool = False  # by `repair`


def violations_of(history: History, *, living: Callable[[str | None], bool]) -> list[Finding]:
    """Every rule that the records break; `living` says whether a supervisor lives, by its uuid."""
    return [
        *_of_study(history),
        *(
            Finding(
                rule="a running trial has a living supervisor",
                trial=trial.number,
                message=f"trial {trial.number} is running, but its supervisor ({_name(history, trial)}) is gone",
                fixable=True,
            )
            for trial in history.trials
            if trial.state == "running" and not living(trial.owner)
        ),
        *(
            Finding(rule=rule, trial=trial.number, message=f"trial {trial.number} {message}")
            for trial in history.trials
            for rule, message in _of_trial(trial, history.manifest)
        ),
    ]


def repair(name: str, *, storage: str) -> tuple[str, ...]:
    """Lets the running trials of dead supervisors wait again; returns a line for each. Raises StudyError, StorageError.

    Outside PostgreSQL the caller holds the run's lock file, so that every supervisor is dead. There a supervisor of
    another machine is watched until it has shown that it lives, or is dead, for up to GRACE seconds.
    """
    from studies.turn import strike, take_back, turn

    watch = Watch()
    with opened(storage) as database:
        with database.engine.connect() as connection:
            reader = Reader(name, study_id=find_study(name, connection=connection))
        while True:
            with turn(database, reader=reader) as connection:
                listed = owners(study_attributes(connection, reader.study_id))
                watch.look(listed)
                verdicts = {uuid: watch.judge(uuid) if shareable(storage) else "dead" for uuid in listed}
                if "unknown" not in verdicts.values():
                    dead = {uuid for uuid, verdict in verdicts.items() if verdict == "dead"}
                    taken = take_back(
                        connection,
                        storage=database,
                        reader=reader,
                        dead=lambda trial: trial.owner not in listed.keys() - dead,  # noqa: B023 called at once
                    )
                    strike(connection, reader=reader, supervisors=dead)
                    return tuple(f"trial {number} waits for the next start" for number in taken)
            time.sleep(BEAT)


def _of_study(history: History) -> Iterator[Finding]:
    numbers = [trial.number for trial in history.trials]
    if numbers != list(range(len(numbers))):
        yield Finding(
            rule="trials are numbered from 0 without gaps or repeats", trial=None, message=f"the numbers are {numbers}"
        )
    begun = sum(trial.state != "waiting" and not trial.carried for trial in history.trials)
    if begun > history.most:
        yield Finding(
            rule="no more trials than were asked for",
            trial=None,
            message=f"{begun} trials were begun, and no start asked for more than {history.most}",
        )


def _of_trial(trial: TrialRecord, manifest: Manifest) -> Iterator[tuple[str, str]]:
    reported = [epoch for epoch, _ in trial.epochs]
    measured = [row.get("epoch") for row in trial.curve]
    if measured != reported:
        yield "an epoch is reported and measured once", f"reported epochs {reported} and measured {measured}"
    if not trial.carried and trial.seed not in (None, manifest.seed_of(trial.number)):
        yield "a trial's seed comes from the study's and its number", f"has the seed {trial.seed}"
    attempts = [loss.attempt for loss in trial.losses]
    if len(set(attempts)) != len(attempts) or any(attempt > trial.attempts for attempt in attempts):
        yield "an attempt is lost once", f"lost its attempts {attempts}, of {trial.attempts}"
    if len(attempts) > MOST_RETRIES and (len(attempts) > MOST_RETRIES + 1 or trial.state != "failed"):
        yield "a trial that is lost too often fails", f"was lost {len(attempts)} times, is {trial.state}"
    if trial.state == "complete":
        yield from _of_complete(trial, manifest, reported)
    if trial.state == "pruned" and trial.accuracy is None and trial.feasible:
        yield "a pruned trial has an accuracy or violates a constraint", "has neither"
    if trial.state == "failed" and not trial.outcome:
        yield "a failed trial says why", "does not"


def _of_complete(trial: TrialRecord, manifest: Manifest, reported: list[int]) -> Iterator[tuple[str, str]]:
    if reported != list(range(1, manifest.epochs + 1)):
        yield "a complete trial has every epoch", f"reported {reported} of {manifest.epochs}"
    elif trial.accuracy != trial.epochs[-1][1]:
        yield "a complete trial has its last epoch's accuracy", f"has {trial.accuracy}, reported {trial.epochs[-1][1]}"
    if not trial.values or trial.seed is None:
        yield "a complete trial has its values and its seed", f"has {len(trial.values)} values and seed {trial.seed}"
    if trial.attempts and not trial.checkpoint:  # what was trained before attempts were counted kept no checkpoint
        yield "a complete trial has its checkpoint's SHA-256", "has none"


def _name(history: History, trial: TrialRecord) -> str:
    return str(history.supervisors.get(trial.owner or "", "unknown"))
