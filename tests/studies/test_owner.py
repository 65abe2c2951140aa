"""Whether a supervisor lives is told without comparing clocks, and whatever happens no trial has two owners."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.owner import BEAT, GRACE, Owner, Watch, exists, owners

FAR = Owner(uuid="far", host="elsewhere", pid=7, boot="another", namespace=None, ticks=None)


class Clock:
    """A clock that tests set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> Watch:
    return Watch(clock=clock, exists=lambda _: None)


def look(watch: Watch, clock: Clock, *, seconds: float, beat: Callable[[int], int], every: float = BEAT) -> None:
    """Looks on for so many seconds at a supervisor whose beat is a function of the look."""
    for index in range(int(seconds // every) + 1):
        watch.look({"far": replace(FAR, beat=beat(index))})
        clock.now += every
    clock.now -= every


def test_process_that_is_there() -> None:
    me = Owner.this_process()
    assert exists(me)
    assert exists(replace(me, ticks=(me.ticks or 0) - 1)) is False  # its number was given to another process
    assert exists(replace(me, boot="another")) is None
    assert exists(replace(me, namespace="pid:[1]")) is None


def test_process_that_ended_and_one_that_is_not_buried() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    owner = replace(Owner.this_process(), pid=child.pid, ticks=int(stat[19]))
    assert exists(owner)
    os.kill(child.pid, signal.SIGSTOP)
    assert exists(owner)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert exists(owner) is False  # a zombie
    child.communicate()
    assert exists(owner) is False


def test_owner_is_stored_and_read() -> None:
    me = Owner.this_process()
    stored: dict[str, Any] = {f"supervisor:{me.uuid}": vars(me), "manifest": {}}
    assert owners(stored) == {me.uuid: me}
    assert str(FAR) == "process 7 on elsewhere"


def test_supervisor_that_left_is_dead(watch: Watch) -> None:
    watch.look({})
    assert watch.judge("far") == watch.judge(None) == "dead"


def test_supervisor_that_beats_lives(watch: Watch, clock: Clock) -> None:
    look(watch, clock, seconds=0, beat=lambda _: 1)
    assert watch.judge("far") == "unknown"
    look(watch, clock, seconds=10 * GRACE, beat=lambda index: index // 3)
    assert watch.judge("far") == "lives"


def test_supervisor_that_is_silent_is_dead_after_the_grace_and_not_before(watch: Watch, clock: Clock) -> None:
    look(watch, clock, seconds=GRACE - BEAT, beat=lambda _: 1)
    assert watch.judge("far") == "unknown"
    look(watch, clock, seconds=2 * BEAT, beat=lambda _: 1)
    assert watch.judge("far") == "dead"
    look(watch, clock, seconds=BEAT, beat=lambda _: 2)  # it was only slow
    assert watch.judge("far") == "lives"


def test_who_looked_away_starts_anew(watch: Watch, clock: Clock) -> None:
    look(watch, clock, seconds=GRACE - BEAT, beat=lambda _: 1)
    clock.now += 3 * BEAT  # an outage, or a laptop's lid
    look(watch, clock, seconds=GRACE - BEAT, beat=lambda _: 1)
    assert watch.judge("far") == "unknown"
    look(watch, clock, seconds=2 * BEAT, beat=lambda _: 1)
    assert watch.judge("far") == "dead"


def test_what_can_be_seen_needs_no_grace(clock: Clock) -> None:
    for there, verdict in ((True, "lives"), (False, "dead")):
        watch = Watch(clock=clock, exists=lambda _, there=there: there)  # type: ignore[misc]
        look(watch, clock, seconds=10 * GRACE if there else 0, beat=lambda _: 1)
        assert watch.judge("far") == verdict


@given(
    pauses=st.lists(st.floats(0, GRACE), max_size=60),
    beats=st.lists(st.booleans(), min_size=60, max_size=60),
    offset=st.floats(-1e9, 1e9),
)
def test_nobody_is_dead_who_was_not_watched_in_silence_for_the_grace(
    pauses: list[float], beats: list[bool], offset: float
) -> None:
    clock, beat, silent = Clock(), 0, 0.0
    clock.now = offset
    watch = Watch(clock=clock, exists=lambda _: None)
    watch.look({"far": FAR})
    for pause, beaten in zip(pauses, beats, strict=False):
        clock.now += pause
        beat += beaten
        silent = 0.0 if beaten or pause > 2 * BEAT else silent + pause
        watch.look({"far": replace(FAR, beat=beat)})
        if silent < GRACE - 1e-3:  # as well as a clock that far from 0 can tell
            assert watch.judge("far") != "dead"


@given(moments=st.lists(st.floats(0, 1e4), max_size=30))
def test_a_beat_is_due_at_most_once_in_a_while(moments: list[float]) -> None:
    clock = Clock()
    watch = Watch(clock=clock)
    beaten = [moment for moment in sorted(moments) if _beats(watch, clock, moment)]
    assert all(later - earlier >= BEAT for earlier, later in pairwise(beaten))


def _beats(watch: Watch, clock: Clock, moment: float) -> bool:
    clock.now = moment
    due = watch.due
    if due:
        watch.beaten(stored=True)
    return due
