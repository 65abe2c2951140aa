"""Supervisors that share a study, in any order of events: no trial has two owners, none is lost, none is too many."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tiny import MANIFEST, SHA256, Start, ask, check, database, run, starter, suggest

from studies.audit import violations_of
from studies.history import read_history
from studies.owner import BEAT, GRACE, Watch
from studies.storage import close
from studies.study import Study, TakenError
from studies.turn import strike

TRIALS = 6


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database(tmp_path)


@pytest.fixture
def start(url: str, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Several supervisors work on one SQLite file, as they may on a server."""
    monkeypatch.setattr("studies.seat.shareable", lambda _: True)
    return starter(url)


def hold_for_dead(study: Study) -> None:
    """What another supervisor does who did not see it beat."""
    with study._seat.turn() as connection:
        strike(connection, reader=study._seat.reader, supervisors=[study._seat.owner.uuid])


@pytest.mark.fault("a search that was held for dead goes on", then="it writes nothing more of the trials it lost")
def test_trial_that_was_taken_over_is_not_written_any_more(start: Start) -> None:
    with start() as one, start() as other:
        asked = ask(one)
        one.report(asked.number, epoch=1, accuracy=0.5)
        hold_for_dead(one)
        assert other.others == (0,)
        assert (ask(other).attempt, other.others, one.others) == (2, (), (0,))
        before = other.history().trials
        writes: list[Callable[[], object]] = [
            partial(one.report, 0, epoch=1, accuracy=0.5),
            partial(one.report, 0, epoch=2, accuracy=0.9),
            partial(one.complete, 0),
            partial(one.prune, 0),
            partial(one.fail, 0, outcome="crashed", message=""),
            partial(one.lose, 0, outcome="crashed", message=""),
            partial(one.put_back, 0),
        ]
        other.report(0, epoch=2, accuracy=0.6)
        other.report(0, epoch=3, accuracy=0.7)
        before = other.history().trials
        for write in writes:
            with pytest.raises(TakenError, match=r"trial 0 was taken from this process.* by process \d+ on "):
                write()
        assert other.history().trials == before
        other.complete(0, checkpoint=SHA256)
        with pytest.raises(TakenError):
            one.complete(0, checkpoint=SHA256)


def test_supervisor_that_was_held_for_dead_goes_on_with_new_trials(start: Start) -> None:
    with start() as one, start() as other:
        ask(one)
        hold_for_dead(one)
        assert (ask(other).number, ask(one).number, ask(other).number) == (0, 1, 2)
        assert (one.others, other.others) == ((0, 2), (1,))


def test_trials_of_one_that_left_are_free_at_once(start: Start) -> None:
    with start(trials=1) as one:
        number = ask(one).number
        with start(trials=1) as other:
            assert (other.ask(suggest), other.others, other.done) == (None, (number,), False)
            one.__exit__()
            assert (ask(other).number, other.recovered) == (number, (number,))


def test_a_trial_is_given_up_at_its_third_loss(start: Start, url: str) -> None:
    with start(trials=2) as study:
        for attempt in (1, 2, 3):
            asked = ask(study)
            assert (asked.number, asked.attempt) == (0, attempt)
            assert study.lose(0, outcome="hung", message=f"silent for {attempt} s") == (attempt < 3)
            if attempt == 1:
                study.put_back(ask(study).number)  # a signal does not count
                hold_for_dead(study)  # and neither does a dead supervisor
                with start(trials=2) as other:
                    other.put_back(ask(other).number)
                asked = ask(study)
                assert asked.attempt == 4
                study.put_back(0)
                break
        for again in (True, False):
            assert ask(study).number == 0
            assert study.lose(0, outcome="hung", message="silent") == again
        trial = study.history().trials[0]
        assert (trial.state, trial.outcome, trial.message) == ("failed", "hung", "hung 3 times: silent")
        assert [loss.attempt for loss in trial.losses] == [1, 5, 6]
        run(study)
    check(url)


class Shares(RuleBasedStateMachine):
    """Three supervisors at most, one clock, one file; each step is one call of one supervisor."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)  # many small commits
        self.url = database(Path(self.folder.name))
        self.now = 0.0
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("studies.seat.shareable", lambda _: True)
        watch = partial(Watch, clock=lambda: self.now, exists=lambda _: None)
        self.patch.setattr("studies.seat.Watch", watch)
        self.studies: list[
            tuple[Study, dict[int, int]]
        ] = []  # and the next epoch of each trial that it believes to run
        self.ended: dict[int, Any] = {}  # records of finished trials, which never change
        self.begin()

    def begin(self) -> None:
        self.studies.append((starter(self.url)(trials=TRIALS, pruner="median"), {}))

    @precondition(lambda self: len(self.studies) < 3)
    @rule()
    def another(self) -> None:
        self.begin()

    @rule(index=st.integers(0, 2))
    def hands_out(self, index: int) -> None:
        study, running = self._one(index)
        asked = study.ask(suggest)
        if asked is not None:
            running[asked.number] = 1

    @rule(index=st.integers(0, 2), accuracy=st.floats(0, 1) | st.just(math.nan))
    def reports(self, index: int, accuracy: float) -> None:
        study, running = self._one(index)
        for number in list(running)[:1]:
            epoch = running[number]
            with self._fenced(running, number):
                if epoch > MANIFEST.epochs:
                    study.complete(number, checkpoint=SHA256)
                    del running[number]
                elif study.report(number, epoch=epoch, accuracy=accuracy if epoch < MANIFEST.epochs else 0.5):
                    study.prune(number)
                    del running[number]
                else:
                    running[number] += 1

    @rule(index=st.integers(0, 2), how=st.sampled_from(["fail", "lose", "put back"]))
    def breaks(self, index: int, how: str) -> None:
        study, running = self._one(index)
        for number in list(running)[:1]:
            with self._fenced(running, number):
                if how == "fail":
                    study.fail(number, outcome="diverged", message="NaN")
                elif how == "lose":
                    study.lose(number, outcome="crashed", message="signal 9")
                else:
                    study.put_back(number)
                del running[number]

    @rule(seconds=st.sampled_from([1.0, BEAT, 2 * BEAT]), silent=st.integers(-1, 2))
    def time_passes(self, seconds: float, silent: int) -> None:
        """Everyone beats but one, which is stopped or cut off."""
        self.now += seconds
        for index, (study, _) in enumerate(self.studies):
            if index != silent:
                study.beat()

    @precondition(lambda self: len(self.studies) > 1)
    @rule(index=st.integers(0, 2), orderly=st.booleans())
    def ends(self, index: int, orderly: bool) -> None:
        study, _ = self.studies.pop(index % len(self.studies))
        if orderly:
            study.__exit__()
        else:
            close(study._seat._storage)  # killed: nobody is told

    @invariant()
    def the_records_are_true(self) -> None:
        history = read_history("tiny", storage=self.url)
        assert violations_of(history, living=lambda uuid: uuid is not None) == []
        assert sum(trial.state != "waiting" for trial in history.trials) <= TRIALS
        for trial in history.trials:
            if trial.finished:
                assert repr(self.ended.setdefault(trial.number, trial)) == repr(trial)  # since NaN equals nothing
        assert set(self.ended) <= {trial.number for trial in history.trials if trial.finished}

    def teardown(self) -> None:
        """Whoever comes last finishes the study, when the dead are seen to be."""
        with suppress(IndexError):
            for study, _ in self.studies:
                close(study._seat._storage)
            with starter(self.url)(trials=TRIALS) as study:
                for _ in range(int(GRACE // BEAT) + 2):
                    run(study)
                    self.now += BEAT
                    study.beat()
                assert (study.done, study.others) == (True, ())
            assert check(self.url).finished == TRIALS
        self.patch.undo()
        self.folder.cleanup()

    def _one(self, index: int) -> tuple[Study, dict[int, int]]:
        return self.studies[index % len(self.studies)]

    @contextmanager
    def _fenced(self, running: dict[int, int], number: int) -> Iterator[None]:
        try:
            yield
        except TakenError:
            del running[number]


TestShares = Shares.TestCase
TestShares.settings = settings(max_examples=3, stateful_step_count=16, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_shares_at_length() -> None:
    run_state_machine_as_test(Shares, settings=settings(max_examples=150, stateful_step_count=40, deadline=None))
