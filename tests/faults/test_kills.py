"""Random kill -9 of searches and slots, on SQLite and on PostgreSQL: 0 lost, 0 counted twice, 0 stuck.

The number of kills is CIFAR_SEARCH_KILLS (SQLite) and a quarter of it (PostgreSQL); 200 unless given.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from postgres import Postgres
from starts import Start, Zygote, wait_for

from search.inspecting.doctor import examine_study
from studies.history import read_history

TRIALS, EPOCHS, SLOTS = 12, 3, 2
KILLS = int(os.environ.get("CIFAR_SEARCH_KILLS", "200"))


def kill_at_random(warm: Zygote, folder: Path, *, kills: int, seed: int, storage: Callable[[str], str]) -> Counter[str]:
    """Search after search, each killed here and there until it is done, until so many kills were made."""
    chance, tally = random.Random(seed), Counter[str]()
    while tally["kills"] < kills:
        name = f"study-{tally['studies']}"
        while not one_start(warm, folder, name, storage(name), chance, tally, kills):
            pass
        history = read_history(name, storage=storage(name))
        ledger = examine_study(folder, storage=storage(name), study=name)
        assert ledger.findings == (), (seed, ledger)
        assert [trial.number for trial in history.trials] == list(range(TRIALS)), seed
        assert history.finished == TRIALS, seed
        tally["studies"] += 1
        tally["finished"] += history.finished
        tally["attempts"] += sum(trial.attempts for trial in history.trials)
        tally["failed"] += history.counts["failed"]
    return tally


def one_start(
    warm: Zygote, folder: Path, name: str, storage: str, chance: random.Random, tally: Counter[str], kills: int
) -> bool:
    """Whether the search came to its end; else it was killed, or it goes on after one of its slots was."""
    start = warm.start(
        "run", "--space", "smoke", "--data", "synthetic", "--device", "cpu", "--pruner", "none", "--study", name,
        "--trials", str(TRIALS), "--epochs", str(EPOCHS), "--slots", str(SLOTS), "--runs", str(folder),
        "--storage", storage, output=folder / "output.txt", environment={"STUB_PACE": "0.02"},
    )  # fmt: skip
    while tally["kills"] < kills:
        if chance.random() < 0.7:  # else it may be killed while it starts
            wait_for(lambda: start.slots() or ended(start), what=lambda: "its slots")
        time.sleep(chance.uniform(0.0, 1.0))
        victim = chance.choice([start.pid, *start.slots()])
        if ended(start):
            break
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            tally["kills"] += 1
            tally["searches killed" if victim == start.pid else "slots killed"] += 1
        if victim == start.pid:
            break
    code = start.end()
    wait_for(lambda: not start.left(), what=lambda: f"{start.left()} to end", seconds=10)
    assert code in (0, -signal.SIGKILL), start.output[-3000:]
    return code == 0


def ended(start: Start) -> bool:
    return Path(f"/proc/{start.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def say(tally: Counter[str], where: str, began: float) -> None:
    print(f"\n{where}: {dict(tally)} in {time.monotonic() - began:.0f} s")


@pytest.mark.parametrize("kills", [12, pytest.param(KILLS, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
@pytest.mark.fault("random kill -9 of searches and slots, SQLite", then="0 lost, 0 counted twice, 0 stuck")
def test_random_kills_on_sqlite(warm: Zygote, tmp_path: Path, kills: int) -> None:
    began = time.monotonic()
    tally = kill_at_random(
        warm, tmp_path, kills=kills, seed=kills, storage=lambda _: f"sqlite:///{tmp_path}/studies.db"
    )

    say(tally, "SQLite", began)
    assert tally["kills"] == kills


@pytest.mark.postgres
@pytest.mark.parametrize("kills", [6, pytest.param(KILLS // 4, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
@pytest.mark.fault("random kill -9 of searches and slots, PostgreSQL", then="0 lost, 0 counted twice, 0 stuck")
def test_random_kills_on_postgresql(warm: Zygote, tmp_path: Path, postgres: Postgres, kills: int) -> None:
    began, url = time.monotonic(), postgres.database()
    tally = kill_at_random(warm, tmp_path, kills=kills, seed=kills, storage=lambda _: url)

    say(tally, "PostgreSQL", began)
    assert tally["kills"] == kills
