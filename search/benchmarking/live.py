"""Runs strategies for the same time on real slots, and judges what each chooses by a longer training.

`CIFAR_SEARCH_DATA=... python search/benchmarking/live.py --folder DIR` compares the replay's winner with its
runner-up. The test set stays closed: all scores are of the validation part.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from search.benchmarking import time_to_accuracy as reach
from search.benchmarking.curves import SPACE
from search.data.sources import find_source
from search.deciding.evidence import Chosen, Confirmed
from search.deciding.trainings import Trainings
from search.planning.decision_plan import Plan, make_plan
from search.searching.setup import Search
from search.searching.study_folder import StudyFolder
from search.searching.supervisor import run
from search.slots.machine import Machine, survey
from studies.history import History, read_history
from studies.storage import storage_url

IMAGES = 4000  # of a trial's epoch, as in the replay; what follows trains on all
FINAL = 2  # epochs of the training that judges; a confirmation has half of them
SEEDS = 2  # of that training
WAYS = (("median", 2), ("none", 2))  # pruner and epochs of a trial: the replay's winner, its runner-up


@dataclass(frozen=True, kw_only=True)
class Live:
    """What a strategy came to."""

    strategy: str
    trials: Mapping[str, int]  # by state
    confirmed: tuple[Confirmed, ...]
    judged: tuple[float, ...]  # validation accuracy of the winner's last trainings


def live(pruner: str, epochs: int, *, folder: Path, seconds: float, seed: int) -> Live:
    """Search for so many seconds, confirm the best three, and train the winner for longer."""
    name = f"{pruner}-{epochs}"
    search = Search(
        space=str(SPACE),
        study=name,
        folder=folder,
        pruner=pruner,
        epochs=epochs,
        images=IMAGES,
        timeout=seconds,
        seed=seed,
    )
    for _ in run(search):
        pass
    history, machine = read_history(name, storage=storage_url(folder, None)), survey(None, slots=None)
    plan = make_plan(
        history,
        images=reach.IMAGES,
        slots=machine.slots,
        minutes=60,
        epochs=FINAL,
        candidates=3,
        confirm_seeds=1,
        seeds=1,
    )
    chosen = _ended(_trainings(history, plan, machine, folder).confirm())
    winner = history.trial(chosen.winner.trial)
    last = replace(plan, trials=(winner,), confirm_seeds=SEEDS, epochs=2 * FINAL)  # confirmations of FINAL epochs
    judged = _ended(_trainings(history, last, machine, folder).confirm())
    counts: dict[str, int] = {state: count for state, count in history.counts.items() if count}
    strategy = f"tpe, {epochs} epochs, {pruner}"
    return Live(strategy=strategy, trials=counts, confirmed=chosen.confirmation, judged=judged.winner.accuracies)


def _trainings(history: History, plan: Plan, machine: Machine, folder: Path) -> Trainings:
    study = StudyFolder(folder, history.study)
    return Trainings(history=history, plan=plan, machine=machine, source=find_source(None), folder=study)


def _ended(steps: Generator[Any, None, Chosen]) -> Chosen:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Chosen = end.value
            return found


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the studies")
    parser.add_argument("--seconds", type=float, default=120, help="of each search")
    parser.add_argument("--seed", type=int, default=0, help="of each search")
    given = parser.parse_args()
    for pruner, epochs in WAYS:
        Console().print(live(pruner, epochs, folder=given.folder, seconds=given.seconds, seed=given.seed))


if __name__ == "__main__":
    main()
