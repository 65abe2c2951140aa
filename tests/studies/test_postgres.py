"""Studies in PostgreSQL: shared by several supervisors, and safe when the server goes away and comes back."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import pytest
from postgres import Postgres
from tiny import ask, check, finish, forked, run, starter, suggest

from studies import engine
from studies.audit import repair, violations_of
from studies.history import read_history, study_names
from studies.storage import StorageError, UnreachableError, masked, warn_of_password
from studies.turn import strike

pytestmark = pytest.mark.postgres

SECRET = "s3cr3tC4nary{x}%25@"
T = TypeVar("T")


def together(supervise: Callable[[], object], *, processes: int) -> None:
    """The same in several processes at once."""
    pids = []
    for _ in range(processes):
        pid = os.fork()
        if not pid:
            os._exit(forked(supervise))
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * processes


def work(url: str, *, trials: int) -> None:
    """A supervisor with two slots, until the study is done; it is slow to hand out the last trial."""

    def pause(event: str, arguments: tuple[object, ...]) -> None:
        if event == "cifar_search.study.asked" and arguments == (trials - 1,):
            time.sleep(0.5)

    sys.addaudithook(pause)
    with starter(url)(trials=trials, sampler="tpe", pruner="median") as study:
        study.enqueue([("known", {"rate": 0.5, "width": 8}), ("other", {"rate": 0.25, "width": 8})])
        while not study.done:
            for asked in [asked for asked in (study.ask(suggest), study.ask(suggest)) if asked]:
                finish(study, asked)
            study.beat()


@pytest.mark.parametrize(
    ("processes", "trials", "repeats"),
    [(2, 10, 1), pytest.param(4, 20, 20, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_exactly_so_many_trials(postgres: Postgres, processes: int, trials: int, repeats: int) -> None:
    """From the first start on, in which each of them wants to make the tables and the study."""
    for _ in range(repeats):
        url = postgres.database()
        together(partial(work, url, trials=trials), processes=processes)
        history = check(url)
        assert [trial.number for trial in history.trials] == list(range(trials)) == list(range(history.finished))
        assert [trial.baseline for trial in history.trials[:3]] == ["known", "other", None]
        assert all(trial.attempts == 1 for trial in history.trials)
        assert len({trial.values["rate"] for trial in history.trials}) == trials
        assert len({trial.owner for trial in history.trials}) > 1
        assert (len(history.starts), history.supervisors) == (processes, {})


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_driver(postgres: Postgres, driver: str) -> None:
    url = postgres.database(driver=driver)
    with starter(url)(trials=2) as study:
        run(study)
        live = study.history()
    assert study_names(url) == ("tiny",)
    assert check(url).trials == live.trials


def die_with(url: str, trials: int) -> None:
    study = starter(url)(trials=trials)
    study.report(ask(study).number, epoch=1, accuracy=0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_supervisor_of_this_machine_is_seen_at_once(postgres: Postgres) -> None:
    url = postgres.database()
    with starter(url)(trials=2) as study:
        forked(partial(die_with, url, 2))
        assert (study.others, study.recovered) == ((0,), ())
        asked = ask(study)
        assert (asked.number, asked.attempt, study.recovered) == (0, 2, (0,))
        assert list(study.history().supervisors) == [study._seat.owner.uuid]
        finish(study, asked)
        run(study)
    check(url)


def test_who_is_just_telling_is_waited_for(postgres: Postgres) -> None:
    """Even by one that holds it for dead: what it has begun to tell it may end."""
    telling, caught = threading.Event(), threading.Event()

    def pause(event: str, _: object) -> None:
        if event == "cifar_search.study.telling" and not caught.is_set():
            telling.set()
            caught.wait(2)

    sys.addaudithook(pause)
    url = postgres.database()
    with starter(url)(trials=2) as one, starter(url)(trials=2) as other:
        asked = ask(one)
        with other._seat.turn() as connection:
            strike(connection, reader=other._seat.reader, supervisors=[one._seat.owner.uuid])
        teller = threading.Thread(target=finish, args=(one, asked))
        teller.start()
        telling.wait()
        assert ask(other).number == 1
        caught.set()
        teller.join()
        assert one.history().trials[0].state == "complete"


def test_repair_takes_back_from_the_dead_and_leaves_the_living(postgres: Postgres) -> None:
    url = postgres.database()
    forked(partial(die_with, url, 4))
    history = read_history("tiny", storage=url)
    assert [(found.trial, found.fixable) for found in violations_of(history, living=lambda _: False)] == [(0, True)]
    with starter(url)(trials=4) as study:
        ask(study), ask(study)
        forked(partial(die_with, url, 4))
        assert repair("tiny", storage=url) == ("trial 2 waits for the next start",)
        assert repair("tiny", storage=url) == ()
        assert study.counts == {"complete": 0, "pruned": 0, "failed": 0, "running": 2, "waiting": 1}


def surely(call: Callable[[], T]) -> T:
    """As supervisors do: again, while the database is silent."""
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
            surely(partial(finish, study, asked))
            surely(study.beat)
        assert surely(lambda: study.done)
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
            partial(study.annotate, "a note"),
            study.history,
            lambda: study.done,
            lambda: study.others,
            lambda: starter(url)(),
            lambda: read_history("tiny", storage=url),
            lambda: study_names(url),
            lambda: repair("tiny", storage=url),
        ]
        for call in calls:
            with pytest.raises(UnreachableError, match="does not answer: postgresql://tester@127"):
                call()
        study._seat._watch.beaten(stored=False)
        with pytest.raises(UnreachableError):
            study.beat()
        postgres.start()
        run(study)
        assert study.lose(number, outcome="crashed", message="")
        run(study)
    assert check(url).finished == 5


@contextmanager
def paused_inside(url: str) -> Iterator[None]:
    """Another supervisor is stopped in the middle of its turn."""
    read, write = os.pipe()

    def stop() -> None:
        with starter(url)(trials=5) as study, study._seat.turn():
            os.write(write, b"x")
            os.kill(os.getpid(), signal.SIGSTOP)

    pid = os.fork()
    if not pid:
        os._exit(forked(stop))
    try:
        os.read(read, 1)
        yield
    finally:
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.fault("a search is stopped in the middle of a turn", then="the server ends it; the others go on")
def test_a_turn_that_is_never_ended_is_ended_by_the_server(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "IDLE", 2)
    url = postgres.database()
    starter(url)(trials=5).__exit__()
    with paused_inside(url), starter(url)(trials=5) as study:
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
        starter(broken(postgres.database()))()
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
            starter(broken)()
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
        starter(url)()
    shown += [str(silent.value), caplog.text]
    assert not [text for text in shown if "s3cr3tC4nary" in text]
