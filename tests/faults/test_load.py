"""How much the machinery costs and carries: a trainer that does nothing, many slots; the numbers are printed."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from places import Place
from postgres import Postgres
from starts import Zygote

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RATE = 5.0  # trials a second that it must reach
TRIAL = 60.0  # seconds of a trial of which it may cost a hundredth


def seconds_of(place: Place, *, trials: int, slots: int) -> float:
    """From the first trial to the end; the ledger is true."""
    start = place.start(trials=trials, slots=slots, STUB_PACE="0")
    start.until("trial 0 starts")
    began = time.monotonic()
    start.end()
    took = time.monotonic() - began
    place.completed(start, trials=trials)
    print(f"\n{trials} trials on {slots} slots: {took:.1f} s, {trials / took:.1f} a second")
    return took


def test_five_trials_a_second(place: Place) -> None:
    assert 150 / seconds_of(place, trials=150, slots=2) >= RATE


def test_sixteen_slots_on_sqlite(place: Place) -> None:
    seconds_of(place, trials=150, slots=16)


@pytest.mark.postgres
@pytest.mark.parametrize("slots", [16, 64])
def test_many_slots_on_postgresql(warm: Zygote, tmp_path: Path, postgres: Postgres, slots: int) -> None:
    seconds_of(Place.at(tmp_path, warm=warm, storage=postgres.database()), trials=300, slots=slots)


def test_one_hundredth_of_a_trial(place: Place) -> None:
    """One slot: all between the end of a training and the start of the next, checkpoints and reports included."""
    trials = 40
    took = seconds_of(place, trials=trials, slots=1)

    print(f"{took / trials:.3f} s a trial, {100 * took / trials / TRIAL:.2f} % of one of {TRIAL:.0f} s")
    assert took / trials < TRIAL / 100


def test_nothing_grows_in_a_long_search(place: Place) -> None:
    """Memory and open files of the supervisor, early and late in 400 trials."""
    start = place.start(trials=400, slots=2, STUB_PACE="0")
    seen = []
    for number in (60, 380):
        start.until(f"trial {number} starts")
        status = Path(f"/proc/{start.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        seen.append((int(found[1]) / 1024, len(list(Path(f"/proc/{start.pid}/fd").iterdir()))))
    place.completed(start, trials=400)
    (early, files), (late, more) = seen

    print(f"\nafter 60 trials {early:.0f} MB and {files} files, after 380 {late:.0f} MB and {more}")
    assert late < 1.05 * early
    assert more <= files + 2
