"""Real trainings that are cut off, by Ctrl-C or a kill, and the same command again: nothing is lost or done twice."""

from __future__ import annotations

import os
import re
import shlex
import signal
from dataclasses import dataclass

import pytest
from places import EPOCHS, Place, gone
from starts import Start, Zygote

from studies.history import History

# torch starts six times; test_faults tells it without
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TRIALS = 8
REAL = {"SLOT_WORK": "search.slots.job_runner:work"}


@dataclass(frozen=True, kw_only=True)
class Story:
    """A search that was cut off, and the same command again."""

    first: Start
    code: int
    between: History
    second: str  # what was printed
    final: History


def cut_off(place: Place, number: signal.Signals) -> Story:
    first = place.start(slots=1, trials=TRIALS, **REAL)
    first.until(f"trial 0 epoch 1/{EPOCHS}")
    # Ctrl-C reaches every process of a terminal; where the search alone is killed, its slots must notice it.
    os.killpg(first.pid, number) if number == signal.SIGINT else first.kill(number)
    code = gone(first)
    between = place.history()
    second = place.finish(slots=1, trials=TRIALS, **REAL)
    return Story(first=first, code=code, between=between, second=second, final=place.check(trials=TRIALS))


@pytest.fixture(scope="module")
def interrupted(warm: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return cut_off(Place.at(tmp_path_factory.mktemp("interrupted") / "my folder", warm=warm), signal.SIGINT)


@pytest.fixture(scope="module")
def killed(warm: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return cut_off(Place.at(tmp_path_factory.mktemp("killed"), warm=warm), signal.SIGKILL)


def test_ctrl_c_ends_a_search_in_order_with_the_command_that_goes_on(interrupted: Story) -> None:
    assert interrupted.code == 130, interrupted.first.output
    assert "Traceback" not in interrupted.first.output
    assert interrupted.between.counts["running"] == 0
    assert interrupted.between.finished < TRIALS
    (line,) = re.findall(r"go on with: (.*)", interrupted.first.output)
    assert tuple(shlex.split(line)) == ("cifar-search", *interrupted.first.arguments)


@pytest.mark.parametrize("name", ["interrupted", "killed"])
def test_the_same_command_makes_exactly_the_trials(name: str, request: pytest.FixtureRequest) -> None:
    story: Story = request.getfixturevalue(name)
    trials = story.final.trials
    assert story.final.counts == {"complete": TRIALS, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    assert len({tuple(sorted(trial.values.items())) for trial in trials}) == TRIALS
    finished = [trial for trial in story.between.trials if trial.state == "complete"]
    assert [trials[trial.number] for trial in finished] == finished  # and none of them was trained again
    again = {int(number) for number in re.findall(r"trial (\d) starts", story.second)}
    assert again == set(range(TRIALS)) - {trial.number for trial in finished}


def test_what_a_kill_left_is_told(killed: Story) -> None:
    assert killed.code == -signal.SIGKILL
    (number,) = (trial.number for trial in killed.between.trials if trial.state == "running")
    assert f"note: trials {number} were left unfinished and go on" in killed.second


def test_the_same_seed_gives_the_same_first_trial_in_two_processes(interrupted: Story, killed: Story) -> None:
    one, other = interrupted.final.trials[0], killed.final.trials[0]
    assert (one.values, one.seed, one.epochs) == (other.values, other.seed, other.epochs)
    assert [row["train_loss"] for row in one.curve] == [row["train_loss"] for row in other.curve]


def test_plain_lines_where_there_is_no_terminal(killed: Story) -> None:
    first, second, *_, last = killed.second.splitlines()
    assert "\x1b" not in killed.second
    assert re.match(r"CPU with \d+ cores?, 1 slot of \d+ threads?, \w+; generated images .*; about \d+ ", first)
    assert re.search(rf"study smoke in sqlite:///.*/studies.db: {EPOCHS} epochs a trial", second)
    assert re.search(rf"^{TRIALS} complete in .*; best: trial \d, \d\d\.\d\d %$", last)
