"""Several searches on one study in PostgreSQL, and a database that goes away: nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from places import Place
from postgres import Postgres
from starts import Zygote, wait_for

pytestmark = pytest.mark.postgres
SECRET = "s3cr3tC4nary{x}%25@"


@pytest.fixture
def place(warm: Zygote, tmp_path: Path, postgres: Postgres) -> Place:
    return Place.at(tmp_path, warm=warm, storage=postgres.database())


@pytest.mark.fault("two searches on one PostgreSQL study", then="both work; exactly --trials finished")
@pytest.mark.parametrize("slots", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_two_searches_share_a_study(place: Place, slots: int) -> None:
    both = [place.start(trials=9, slots=slots, STUB_PACE="0.01") for _ in range(2)]

    assert [start.end() for start in both] == [0, 0], [start.output for start in both]
    history = place.check(trials=9)
    assert len({trial.owner for trial in history.trials}) == 2


@pytest.mark.fault("one of two searches is killed", then="the other takes its trials over; exactly --trials finished")
@pytest.mark.slow
def test_the_other_search_takes_over(place: Place) -> None:
    first = place.start(trials=6, slots=1, STUB_PACE="1")  # so slow that it is killed within trial 0
    first.until("trial 0 epoch 1/3")
    second = place.start(trials=6, slots=1, STUB_PACE="0.1")
    second.until("starts")
    first.kill()

    assert second.end() == 0, second.output
    assert max(trial.attempts for trial in place.check(trials=6).trials) == 2


def restart_under_load(place: Place, postgres: Postgres, *, restarts: int) -> None:
    trials = 12 * restarts
    start = place.start(trials=trials, slots=4, STUB_PACE="0.05")
    start.until("trial 0 epoch 1/3")
    for _ in range(restarts):
        postgres.stop()
        time.sleep(1.5)
        postgres.start()
        time.sleep(2.5)

    assert start.end() == 0, start.output
    assert "the trainings wait for it" in start.output
    assert "the storage answers again after" in start.output
    history = place.check(trials=trials)
    assert all(trial.attempts == 1 for trial in history.trials)


@pytest.mark.fault("PostgreSQL restarts under load", then="the search waits for it; no trial is lost or tried again")
def test_a_restart_of_the_database(place: Place, postgres: Postgres) -> None:
    restart_under_load(place, postgres, restarts=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_restarts_of_the_database(place: Place, postgres: Postgres) -> None:
    restart_under_load(place, postgres, restarts=10)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.fault("PostgreSQL is away for five minutes", then="the study pauses and goes on")
def test_five_minutes_of_outage(place: Place, postgres: Postgres) -> None:
    start = place.start(trials=8, slots=2, STUB_PACE="0.1")
    start.until("trial 0 epoch 1/3")
    postgres.stop()
    time.sleep(300)
    assert start.left(), start.output
    postgres.start()

    assert start.end() == 0, start.output
    assert all(trial.attempts == 1 for trial in place.check(trials=8).trials)


@pytest.mark.fault("Ctrl-C while PostgreSQL is away", then="exit 130 in 10 s; the next start repairs")
@pytest.mark.slow
def test_a_signal_in_an_outage(place: Place, postgres: Postgres) -> None:
    start = place.start(trials=8, STUB_PACE="0.1")
    start.until("trial 0 epoch 1/3")
    postgres.stop()
    start.until("the trainings wait for it")
    asked = time.monotonic()
    start.kill(signal.SIGINT)
    code = start.end()
    postgres.start()

    assert code == 130, start.output
    assert time.monotonic() - asked < 15
    again = place.start(trials=8)
    assert again.end() == 0, again.output
    place.check(trials=8)


@pytest.mark.fault("a laptop with one of two searches sleeps", then="what it missed is not told twice; it goes on")
@pytest.mark.slow
def test_a_search_that_was_taken_over_goes_on(place: Place) -> None:
    first = place.start(trials=6, slots=1, STUB_PACE="0.1", OWNER_GRACE="2")
    first.until("trial 0 epoch 1/3")
    everything = first.left()
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    second = place.start(trials=6, slots=1, STUB_PACE="0.1", OWNER_GRACE="2")
    second.until("trial 0 starts")
    for pid in everything:
        os.kill(pid, signal.SIGCONT)

    assert [first.end(), second.end()] == [0, 0], first.output + second.output
    assert "trial 0 waits for another attempt: " in first.output
    place.check(trials=6)


@pytest.mark.fault("a password in the storage's URL", then="shown in no output, file, error, study or process list")
def test_no_password_is_shown(place: Place, postgres: Postgres, tmp_path: Path) -> None:
    secret = Place.at(tmp_path / "secret", warm=place.warm, storage=None)
    url = postgres.database(password=SECRET)
    start = secret.start(CIFAR_SEARCH_STORAGE=url, STUB_PACE="0.1")
    start.until("trial 0 epoch 1/3")
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in start.left()]
    postgres.stop()
    start.until("the trainings wait for it")
    postgres.start()
    assert start.end() == 0, start.output
    broken = secret.start(CIFAR_SEARCH_STORAGE=url.replace("@127", "x@127"))
    assert broken.end() == 5, broken.output

    assert all(SECRET.encode() not in line for line in lines)
    for file in (tmp_path / "secret").rglob("*"):
        assert not file.is_file() or b"s3cr3tC4nary" not in file.read_bytes(), file
    wait_for(lambda: not broken.left(), what=lambda: "the end")
