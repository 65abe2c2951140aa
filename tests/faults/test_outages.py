"""A study in PostgreSQL: one search at a time, and a database that goes away: nothing lost, nothing twice."""

from __future__ import annotations

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


@pytest.mark.fault("two searches on one PostgreSQL study", then="exit 4, the second is told the process of the first")
def test_a_second_search_is_refused_and_starts_when_the_first_is_dead(place: Place, tmp_path: Path) -> None:
    first = place.start(STUB_PACE="0.3")
    first.until("trial 0 starts")
    elsewhere = Place.at(tmp_path / "elsewhere", warm=place.warm, storage=place.storage)  # another folder of runs
    second = elsewhere.start()

    assert second.end() == 4, second.output
    assert f"process {first.pid} on " in second.output
    assert "already works on study 'smoke'" in second.output
    first.kill()
    first.end()
    place.finish()
    place.check()


def restart_under_load(place: Place, postgres: Postgres, *, restarts: int) -> None:
    trials = 12 * restarts
    start = place.start(trials=trials, slots=4, STUB_PACE="0.05")
    start.until("trial 0 epoch 1/3")
    for index in range(restarts):
        time.sleep(2.5 * (index > 0))
        postgres.stop()
        time.sleep(1.5)
        postgres.start()

    assert all(trial.attempts == 1 for trial in place.completed(start, trials=trials).trials)
    assert "the trainings wait for it" in start.output
    assert "the storage answers again after" in start.output


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

    assert all(trial.attempts == 1 for trial in place.completed(start, trials=8).trials)


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
    place.completed(place.start(trials=8), trials=8)


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
