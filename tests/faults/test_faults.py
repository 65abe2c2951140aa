"""What breaks while a search runs, and what is true afterwards: nothing lost, nothing counted twice, nothing stuck.

The real command line on real processes and a real database; only the training is a stub. Each test of a fault ends with
the ledger. Their marks make the table in tests/FAULTS.md.
"""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from places import Place, gone
from starts import wait_for

STUDY_POINTS = ("created", "asked", "owned", "reporting", "reported", "telling", "told")
CHECKPOINT_POINTS = ("begin", "half", "written", "synced", "renamed", "kept")


@pytest.mark.fault(
    "Ctrl-C, SIGTERM, SIGHUP, or a batch system's SIGUSR1, SIGUSR2, SIGXCPU",
    then="exit 128 + n in 10 s, trials wait with a checkpoint",
)
@pytest.mark.parametrize(
    "number",
    [
        *(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1),
        *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGHUP, signal.SIGUSR2, signal.SIGXCPU)),
    ],
)
def test_a_signal_puts_the_trials_back(place: Place, number: signal.Signals) -> None:
    first = place.start()
    first.until("trial 1 epoch 1/3")
    first.kill(number)

    assert gone(first) == 128 + number, first.output
    assert "Traceback" not in first.output
    assert "go on with: cifar-search run --space smoke" in first.output
    history = place.settled()
    assert history.counts["running"] == 0
    assert history.counts["waiting"] >= 1
    assert "goes on from its checkpoint in epoch" in place.finish()
    place.check()


@pytest.mark.fault("Ctrl-C twice", then="it leaves at once; the next start repairs")
def test_a_second_ctrl_c_leaves_at_once(place: Place) -> None:
    first = place.start(STUB_PACE="30")
    first.until("trial 1 starts")
    first.kill(signal.SIGINT)
    time.sleep(0.7)
    first.kill(signal.SIGINT)

    assert gone(first, seconds=3) == 130, first.output
    place.finish()
    place.check()


@pytest.mark.fault("SIGTERM to one slot", then="its trial goes on from the step on another slot")
def test_a_signal_to_a_slot_moves_its_trial(place: Place) -> None:
    first = place.start(slots=1)
    first.until("trial 0 epoch 1/3")
    os.kill(first.slots()[0], signal.SIGTERM)

    assert place.completed(first).trials[0].losses == ()
    assert "trial 0 goes on from its checkpoint in epoch" in first.output


@pytest.mark.fault("the shell's limit of CPU time (`ulimit -t`)", then="exit 6 by its name, no trial is blamed")
def test_a_slot_that_used_up_its_cpu_time_stops_the_search(place: Place) -> None:
    first = place.start()
    first.until("trial 0 epoch 1/3")
    os.kill(first.slots()[0], signal.SIGXCPU)

    assert gone(first) == 6, first.output
    assert "used up the CPU time that this shell allows a process (ulimit -t)" in first.output
    assert "goes on from its checkpoint" in place.finish()
    assert all(trial.losses == () for trial in place.check().trials)


@pytest.mark.fault("kill -9 of one slot", then="its trial goes on from its last checkpoint at once")
def test_a_killed_slot_costs_an_attempt(place: Place) -> None:
    first = place.start(slots=1)
    first.until("trial 0 epoch 2/3")
    os.kill(first.slots()[0], signal.SIGKILL)

    assert [loss.outcome for loss in place.completed(first).trials[0].losses] == ["crashed"]
    assert "trial 0 waits for another attempt: the slot was killed by SIGKILL" in first.output
    assert re.search(r"trial 0 goes on from its checkpoint in epoch [23]", first.output)


@pytest.mark.fault(
    "a trial that kills its slot every time", then="failed by name after three attempts; the rest goes on"
)
@pytest.mark.parametrize(
    ("what", "words"), [("die!", "killed by SIGKILL"), pytest.param("exit!", "exit code 7", marks=pytest.mark.slow)]
)
def test_a_trial_that_kills_every_slot_fails_by_name(place: Place, what: str, words: str) -> None:
    trial = place.completed(place.start(STUB_TROUBLE=f"1:{what}")).trials[1]
    assert (trial.state, trial.outcome, len(trial.losses)) == ("failed", "crashed", 3)
    assert "3 times" in str(trial.message)
    assert words in str(trial.message)


@pytest.mark.fault("a slot that hangs", then="its stacks are kept, it is killed, the trial tried again")
def test_a_hung_slot_is_dumped_and_its_trial_tried_again(place: Place) -> None:
    trial = place.completed(place.start(STUB_TROUBLE="1:hang", STUB_PATIENCE="1.5")).trials[1]
    assert (trial.state, [loss.outcome for loss in trial.losses]) == ("complete", ["hung"])
    assert 'stub.py", line' in (place.runs / "smoke" / "slots.log").read_text()


@pytest.mark.fault("a trial over --trial-timeout", then="given up after three attempts, by name")
@pytest.mark.slow
def test_a_trial_that_takes_too_long_is_given_up(place: Place) -> None:
    trial = place.completed(place.start("--trial-timeout", "2s", STUB_TROUBLE="1:hang!")).trials[1]
    assert (trial.state, trial.outcome, len(trial.losses)) == ("failed", "timed-out", 3)


@pytest.mark.fault("--timeout is over", then="exit 0, trials wait with a checkpoint, the command that goes on")
def test_the_time_of_a_search_is_kept(place: Place) -> None:
    first = place.start("--timeout", "2s", trials=1000)

    assert gone(first, seconds=10) == 0, first.output
    assert "the time is over: " in first.output
    assert "go on with: cifar-search run" in first.output
    assert place.settled().counts["running"] == 0


@pytest.mark.fault("kill -9 of the search", then="its slots die with it; the next start goes on from the checkpoints")
def test_a_killed_search_is_repaired_by_the_next_start(place: Place) -> None:
    first = place.start()
    first.until("trial 1 epoch 1/3")
    first.kill()

    assert gone(first) == -signal.SIGKILL
    assert place.history().counts["running"] >= 1
    output = place.finish()
    assert "were left unfinished" in output
    assert "goes on from its checkpoint" in output
    place.check()


@pytest.mark.fault("kill -9 of the search while a slot hangs", then="the slot dies with it")
def test_a_hung_slot_dies_with_its_search(place: Place) -> None:
    first = place.start(STUB_TROUBLE="1:hang")
    first.until("trial 0 epoch 2/3")
    time.sleep(0.5)  # trial 1 hangs by now, and looks at nothing that comes from the search
    first.kill()
    assert gone(first) == -signal.SIGKILL


@pytest.mark.fault("power loss or kill -9 at any named point", then="the next start finds a true ledger and goes on")
@pytest.mark.slow  # test_crashes.py and test_work.py end the process at each point alone
@pytest.mark.timeout(240)
def test_every_named_crash_point_in_one_study(place: Place, tmp_path: Path) -> None:
    """Each start goes on from where the one before was killed, to be killed at the next point."""
    points = (*(f"study.{name}" for name in STUDY_POINTS), *(f"checkpoint.{name}" for name in CHECKPOINT_POINTS))
    for count, point in enumerate(points, start=1):
        marker = tmp_path / point
        start = place.start(trials=3 * count, CRASH_AT=f"cifar_search.{point}", CRASH_MARKER=str(marker))
        start.end()
        wait_for(lambda start=start: not start.left(), what=lambda: "its slots to end")

        assert marker.exists(), start.output
        assert "Traceback" not in start.output
    place.completed(place.start(trials=3 * len(points)), trials=3 * len(points))


@pytest.mark.fault("kill -9 between the count of a loss and its retry", then="it counts once; the trial goes on")
def test_a_crash_while_a_loss_is_counted(place: Place, tmp_path: Path) -> None:
    first = place.start(
        CRASH_AT="cifar_search.study.losing", CRASH_MARKER=str(tmp_path / "crashed"), STUB_TROUBLE="1:die"
    )

    assert gone(first) == -signal.SIGKILL
    place.finish()
    trial = place.check().trials[1]
    assert (len(trial.losses), trial.attempts, trial.state) == (1, 2, "complete")


@pytest.mark.fault("laptop sleep, SIGSTOP and SIGCONT", then="silence while we slept counts against nobody")
def test_a_pause_of_everything_counts_against_nobody(place: Place) -> None:
    first = place.start(trials=2, STUB_PATIENCE="3", STUB_SUPERVISOR_PAUSE="1", STUB_PACE="0.3")
    first.until("trial 1 starts")
    time.sleep(0.6)  # in its first epoch, before it is known how long one takes
    os.killpg(first.pid, signal.SIGSTOP)
    time.sleep(4)
    os.killpg(first.pid, signal.SIGCONT)

    assert all(trial.losses == () for trial in place.completed(first, trials=2).trials)


@pytest.mark.fault("1 to 16 slots", then="exactly --trials finished")
@pytest.mark.parametrize("slots", [pytest.param(1, marks=pytest.mark.slow), 16])
def test_exactly_so_many_trials(place: Place, slots: int) -> None:
    place.completed(place.start(slots=slots, trials=7, STUB_PACE="0"), trials=7)


@pytest.mark.fault("two searches on one SQLite study", then="exit 4, the second is told the process of the first")
def test_a_second_search_is_refused(place: Place, tmp_path: Path) -> None:
    first = place.start(trials=2, STUB_PACE="0.4")
    first.until("trial 0 starts")
    elsewhere = Place.at(tmp_path / "elsewhere", warm=place.warm, storage=place.url)  # another folder of runs
    for second in (place.start(), elsewhere.start()):
        assert gone(second) == 4
        assert f"process {first.pid} already works on study 'smoke'" in second.output
    place.completed(first, trials=2)
