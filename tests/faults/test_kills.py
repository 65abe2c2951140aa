"""Random kill -9 of searches and slots, on SQLite and on PostgreSQL: 0 lost, 0 counted twice, 0 stuck.

The number of kills is CIFAR_SEARCH_KILLS (SQLite) and a quarter of it (PostgreSQL); 200 unless given.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from places import Place
from postgres import Postgres
from starts import Zygote, session, wait_for

TRIALS = 12
KILLS = int(os.environ.get("CIFAR_SEARCH_KILLS", "200"))


def kill_at_random(place: Place, *, kills: int) -> None:
    """Search after search, each killed here and there until it is done, until so many kills were made."""
    chance, tally, began = random.Random(kills), Counter[str](), time.monotonic()
    while tally["kills"] < kills:
        study = replace(place, study=f"study-{tally['studies']}")
        while not one_start(study, chance, tally, kills):
            pass
        history = study.check(trials=TRIALS)
        tally["studies"] += 1
        tally["finished"] += history.finished
        tally["attempts"] += sum(trial.attempts for trial in history.trials)
        tally["failed"] += history.counts["failed"]
    print(f"\n{place.url}: {dict(tally)} in {time.monotonic() - began:.0f} s")
    assert tally["kills"] == kills


def one_start(place: Place, chance: random.Random, tally: Counter[str], kills: int) -> bool:
    """Whether the search came to its end; else it was killed, or it goes on after one of its slots was."""
    start = place.start(trials=TRIALS, STUB_PACE="0.02")
    while tally["kills"] < kills:
        if chance.random() < 0.7:  # else it may be killed while it starts
            wait_for(lambda: start.slots() or not session(start.pid), what=lambda: "its slots")
        time.sleep(chance.uniform(0.0, 1.0))
        victim = chance.choice([start.pid, *start.slots()])
        if not session(start.pid):
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


@pytest.mark.parametrize("kills", [8, pytest.param(KILLS, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
@pytest.mark.fault("random kill -9 of searches and slots, SQLite", then="0 lost, 0 counted twice, 0 stuck")
def test_random_kills_on_sqlite(place: Place, kills: int) -> None:
    kill_at_random(place, kills=kills)


@pytest.mark.postgres
@pytest.mark.parametrize("kills", [5, pytest.param(KILLS // 4, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
@pytest.mark.fault("random kill -9 of searches and slots, PostgreSQL", then="0 lost, 0 counted twice, 0 stuck")
def test_random_kills_on_postgresql(warm: Zygote, tmp_path: Path, postgres: Postgres, kills: int) -> None:
    kill_at_random(Place.at(tmp_path, warm=warm, storage=postgres.database()), kills=kills)
