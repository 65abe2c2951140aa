"""A decision that is stopped and killed, on real trainings: the same command goes on, to the same report."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from places import gone
from starts import Start, Zygote, wait_for

SEARCH = "run --space smoke --data synthetic --device cpu --slots 1 --trials 2 --epochs 1 --pruner none"
WORDS = "best --retrain --data synthetic --device cpu --slots 1 --candidates 2 --confirm-seeds 1 --seeds 1 --epochs 2"
OF_THE_DAY = {"seconds", "openings", "provenance"}  # what two equal decisions may differ in


def start(warm: Zygote, runs: Path) -> Start:
    arguments = (*WORDS.split(), "--runs", str(runs))
    return warm.start(*arguments, output=runs.parent / f"{len(warm.started)}.txt")


def rows(runs: Path) -> list[dict[str, str]]:
    """Every epoch of every training, without the seconds that it took."""
    with (runs / "smoke/report/history.csv").open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def report(runs: Path) -> dict[str, Any]:
    found = json.loads((runs / "smoke/report/report.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name not in OF_THE_DAY}


@pytest.mark.timeout(300)
@pytest.mark.fault(
    "SIGTERM to a decision, and kill -9 of the same command",
    then="exit 143 in 10 s with the command that goes on; its report is that of an uninterrupted one",
)
def test_a_decision_goes_on_from_its_checkpoints(warm: Zygote, tmp_path: Path) -> None:
    runs, whole = tmp_path / "my [old] runs", tmp_path / "whole"
    output, pace = tmp_path / "search.txt", {"STUB_PACE": "0.01"}  # its slots only pretend
    search = warm.start(*SEARCH.split(), "--runs", str(runs), output=output, environment=pace)
    assert search.end() == 0, search.output
    shutil.copytree(runs, whole)
    uninterrupted = start(warm, whole)

    first = start(warm, runs)
    first.until("confirmation: trial ")
    first.kill(signal.SIGTERM)
    assert gone(first) == 128 + signal.SIGTERM, first.output
    (line,) = re.findall("go on with: (.*)", first.output)
    assert tuple(shlex.split(line)) == ("cifar-search", *first.arguments)
    second = start(warm, runs)
    second.until("epoch 1/2")
    wait_for(lambda: any(runs.glob("smoke/retraining/retraining-*/epochs.json")), what=lambda: "an epoch that is kept")
    second.kill()
    gone(second)
    third = start(warm, runs)

    assert (third.end(), uninterrupted.end()) == (0, 0), third.output + uninterrupted.output
    assert "goes on from its checkpoint" in second.output
    told = re.findall(r"(confirmation|retraining): (trial \d), seed 1, epoch (\d)", first.output + second.output)
    assert sorted(told) == sorted(set(told))  # none was trained twice
    assert (rows(runs), report(runs)) == (rows(whole), report(whole))
    left = [sorted(path.name for path in (each / "smoke/retraining").iterdir()) for each in (runs, whole)]
    assert left[0] == left[1]
    assert {name.partition("-")[0] for name in left[0]} == {"confirmed"}  # no checkpoint
