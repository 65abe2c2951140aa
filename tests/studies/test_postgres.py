"""Studies in PostgreSQL are safe when the server goes away and comes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import pytest
from postgres import Postgres
from tiny import ask, check, done, finish, run, starter, suggest

from studies.history import read_history
from studies.storage import StorageError, UnreachableError, masked, warn_of_password

pytestmark = pytest.mark.postgres

SECRET = "s3cr3tC4nary{x}%25@"
T = TypeVar("T")


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_driver(postgres: Postgres, driver: str) -> None:
    url = postgres.database(driver=driver)
    with starter(url)(trials=2) as study:
        run(study)
        live = study.history()
    assert check(url).trials == live.trials


def opens(url: str) -> None:
    with starter(url)():
        pass


def surely(call: Callable[[], T]) -> T:
    """Repeats a call while the database is unreachable, as the dispatcher does."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return call()
        except UnreachableError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def outlast(url: str, *, trials: int, opened: threading.Event) -> list[int]:
    """A supervisor that does not mind outages; returns the attempts of its trials."""
    attempts = []
    with starter(url)(trials=trials, pruner="median") as study:
        opened.set()
        while asked := surely(lambda: study.ask(suggest)):
            attempts.append(asked.attempt)
            finish(study, asked, repeated=surely)
        assert surely(lambda: done(study))
    return attempts


@pytest.mark.parametrize(
    ("restarts", "trials"), [(2, 20), pytest.param(10, 200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_restarts_under_load(postgres: Postgres, restarts: int, trials: int) -> None:
    url, attempts, opened = postgres.database(), list[int](), threading.Event()
    worker = threading.Thread(target=lambda: attempts.extend(outlast(url, trials=trials, opened=opened)))
    worker.start()
    opened.wait()
    for index in range(restarts):
        time.sleep(0.7)
        postgres.kill() if index % 2 else postgres.stop("immediate")
        time.sleep(0.5)
        postgres.start()
    worker.join()
    history = check(url)
    assert [trial.number for trial in history.trials] == list(range(trials))
    assert history.finished == trials
    assert attempts.count(1) >= trials - restarts  # but for those whose handing out was cut off


def test_every_call_says_that_the_server_is_silent(postgres: Postgres) -> None:
    url = postgres.database()
    with starter(url)(trials=5) as study:
        number = ask(study).number
        postgres.stop()
        calls: list[Callable[[], object]] = [
            lambda: study.ask(suggest),
            partial(study.report, number, epoch=1, accuracy=0.5),
            partial(study.complete, number),
            partial(study.prune, number),
            partial(study.fail, number, outcome="crashed", message=""),
            partial(study.lose, number, outcome="crashed", message=""),
            partial(study.put_back, number),
            partial(study.enqueue, []),
            study.history,
            lambda: done(study),
            lambda: opens(url),
            lambda: read_history("tiny", storage=url),
        ]
        for call in calls:
            with pytest.raises(UnreachableError, match="does not answer: postgresql://tester@127"):
                call()
        postgres.start()
        run(study)
        assert study.lose(number, outcome="crashed", message="")
        run(study)
    assert check(url).finished == 5


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda url: url.replace("tester@", "nobody@"), "nobody"),
        (lambda url: url.replace("tester@", "guarded:wrong@"), "password authentication failed"),
        (lambda url: url[: url.rindex("/")] + "/missing", "missing"),
    ],
)
@pytest.mark.fault("a wrong password, user or database", then="exit 5 at once with the cause; not waited for")
def test_what_waiting_does_not_mend_is_no_outage(postgres: Postgres, broken: Callable[[str], str], said: str) -> None:
    with pytest.raises(StorageError, match=f"cannot use the storage .*{said}") as caught:
        opens(broken(postgres.database()))
    assert not isinstance(caught.value, UnreachableError)


@pytest.mark.parametrize("driver", ["postgresql+psycopg2", "postgresql+psycopg"])
def test_a_password_is_never_shown(
    postgres: Postgres, driver: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    url = postgres.database(driver=driver, password=SECRET)
    shown = [warn_of_password(url) or "", masked(url)]
    with starter(url)(trials=2) as study:
        run(study)
        shown += [repr(study.history()), repr(study.notes)]
    for broken in (url.replace("@127", "x@127"), url.replace(quote(SECRET, safe=""), SECRET)):
        with pytest.raises(StorageError) as caught:
            opens(broken)
        shown.append(str(caught.value))
    # libpq's own file of passwords
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"127.0.0.1:{postgres.port}:*:guarded:{SECRET}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    open_url = url.replace(f":{quote(SECRET, safe='')}", "")
    assert read_history("tiny", storage=open_url).finished == 2
    postgres.stop()
    with pytest.raises(UnreachableError) as silent:
        opens(url)
    shown += [str(silent.value), caplog.text]
    assert not [text for text in shown if "s3cr3tC4nary" in text]
