"""A search that is cut off, by Ctrl-C or by a kill, and the same command again: nothing is lost, nothing done twice."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from search.searching import supervisor
from search.searching.setup import Search
from studies.history import History, read_history
from studies.lock import LockedError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # torch starts eight times; test_faults tells it without

PROGRAM = Path(sys.executable).with_name("cifar-search")
TRIALS, EPOCHS = 4, 6  # an epoch takes a tenth of a second


class Started:
    """The installed program at work, in a session of its own as in a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.output = ""

    def __enter__(self) -> Started:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def until(self, pattern: str) -> None:
        """Reads line by line until one matches."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            if re.search(pattern, line):
                return
        raise AssertionError(f"no line {pattern!r} in:\n{self.output}")

    def end(self, timeout: float = 60) -> int:
        """Reads on until it ends."""
        self.output += self.process.communicate(timeout=timeout)[0]
        return self.process.returncode

    def children(self) -> list[int]:
        """The processes that it started and that still live."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]


@dataclass(frozen=True, kw_only=True)
class Story:
    """A search that was cut off, and the same command again."""

    arguments: tuple[str, ...]
    first: str  # what was printed
    code: int
    seconds: float  # from the signal to the end
    between: History
    second: str
    final: History
    extra: dict[str, Any]


def command(folder: Path) -> tuple[str, ...]:
    return (
        "run", "--space", "smoke", "--data", "synthetic", "--device", "cpu", "--slots", "1", "--pruner", "none",
        "--trials", str(TRIALS), "--epochs", str(EPOCHS), "--runs", str(folder),
    )  # fmt: skip


def stored(folder: Path) -> History:
    return read_history("smoke", storage=f"sqlite:///{folder}/studies.db")


def cut_off(folder: Path, stop: Callable[[Started], dict[str, Any]], core: int) -> Story:
    os.sched_setaffinity(0, {core})  # of this thread and what it starts: threads that share cores wait for each other
    arguments = command(folder)
    with Started(*arguments) as first:
        first.until(f"trial 0 epoch 1/{EPOCHS}")
        start = time.monotonic()
        extra = stop(first)
        code = first.end(timeout=30)
        seconds = time.monotonic() - start
    between = stored(folder)
    with Started(*arguments) as second:
        assert second.end() == 0, second.output
    return Story(
        arguments=arguments, first=first.output, code=code, seconds=seconds, between=between, second=second.output,
        final=stored(folder), extra=extra,
    )  # fmt: skip


def interrupt(started: Started) -> dict[str, Any]:
    """Ctrl-C reaches every process of a terminal."""
    os.killpg(started.process.pid, signal.SIGINT)
    return {}


def kill(started: Started) -> dict[str, Any]:
    """First a second supervisor tries; then only the supervisor is killed, its slots must notice by themselves."""
    children = started.children()
    runs = Path(started.process.args[-1])  # type: ignore[index, arg-type]
    with pytest.raises(LockedError) as refused:
        next(iter(supervisor.run(Search(space="smoke", data="synthetic", folder=runs, device="cpu"))))
    os.kill(started.process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return {
        "pid": started.process.pid,
        "refused": str(refused.value),
        "children": children,
        "left": [*filter(alive, children)],
    }


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, Story]:
    """Both at once, each on a core of its own if there are two."""
    cores = sorted(os.sched_getaffinity(0))
    folders = [tmp_path_factory.mktemp("interrupted") / "my runs", tmp_path_factory.mktemp("killed") / "runs"]
    with ThreadPoolExecutor() as pool:
        interrupted, killed = pool.map(cut_off, folders, [interrupt, kill], [cores[0], cores[-1]])
    return interrupted, killed


@pytest.fixture(scope="module")
def interrupted(stories: tuple[Story, Story]) -> Story:
    return stories[0]


@pytest.fixture(scope="module")
def killed(stories: tuple[Story, Story]) -> Story:
    return stories[1]


def test_ctrl_c_ends_a_search_in_order(interrupted: Story) -> None:
    assert interrupted.code == 130, interrupted.first
    assert interrupted.seconds < 10
    assert "Traceback" not in interrupted.first
    assert interrupted.between.counts["running"] == 0
    assert interrupted.between.finished < TRIALS


def test_ctrl_c_prints_the_command_that_goes_on(interrupted: Story) -> None:
    (line,) = re.findall(r"go on with: (.*)", interrupted.first)

    assert tuple(shlex.split(line)) == ("cifar-search", *interrupted.arguments)


@pytest.mark.parametrize("name", ["interrupted", "killed"])
def test_the_same_command_makes_exactly_the_trials(name: str, request: pytest.FixtureRequest) -> None:
    story: Story = request.getfixturevalue(name)

    assert story.final.counts == {"complete": TRIALS, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    assert [trial.number for trial in story.final.trials] == list(range(TRIALS))
    assert all([epoch for epoch, _ in trial.epochs] == list(range(1, EPOCHS + 1)) for trial in story.final.trials)
    assert all([row["epoch"] for row in trial.curve] == list(range(1, EPOCHS + 1)) for trial in story.final.trials)
    assert len({tuple(sorted(trial.values.items())) for trial in story.final.trials}) == TRIALS
    finished = [trial for trial in story.between.trials if trial.state == "complete"]
    assert [story.final.trials[trial.number] for trial in finished] == finished  # and none of them was trained again
    again = {int(number) for number in re.findall(r"trial (\d) starts", story.second)}
    assert again == set(range(TRIALS)) - {trial.number for trial in finished}


def test_the_children_of_a_killed_supervisor_die(killed: Story) -> None:
    assert killed.code == -signal.SIGKILL
    assert killed.extra["children"]
    assert killed.extra["left"] == []


def test_what_a_kill_left_is_told(killed: Story) -> None:
    (number,) = (trial.number for trial in killed.between.trials if trial.state == "running")

    assert f"note: trials {number} were left unfinished and go on" in killed.second


def test_a_second_supervisor_is_told_the_process(killed: Story) -> None:
    assert f"process {killed.extra['pid']} already works on this study" in killed.extra["refused"]


def test_the_same_seed_gives_the_same_first_trial_in_two_processes(interrupted: Story, killed: Story) -> None:
    one, other = interrupted.final.trials[0], killed.final.trials[0]

    assert (one.values, one.seed, one.epochs) == (other.values, other.seed, other.epochs)
    assert [row["train_loss"] for row in one.curve] == [row["train_loss"] for row in other.curve]


def test_plain_lines_where_there_is_no_terminal(killed: Story) -> None:
    lines = killed.second.splitlines()

    assert "\x1b" not in killed.second
    assert re.match(r"CPU with 1 core, 1 slot of 1 thread, \w+; generated images .*; about \d+ ", lines[0])
    assert re.search(rf"study smoke in sqlite:///.*/studies.db: {EPOCHS} epochs a trial", lines[1])
    assert re.search(rf"^{TRIALS} complete in .*; best: trial \d, \d\d\.\d\d %$", lines[-1])
