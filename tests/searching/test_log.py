"""The log of a search: every line with its time, and a fault of the log ends nothing."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest

from search.searching.log import logged
from search.searching.progress import Noted, Retried, Silent, Update, Waited
from studies import StudyError

TIME = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d  "
UPDATES = (Noted(message="an old version"), Waited(), Retried(number=3, message="killed"))
TOLD = ["note: an old version", "trial 3 waits for another attempt: killed"]


def updates(*end: BaseException) -> Generator[Update, None, None]:
    yield from UPDATES
    for error in end:
        raise error


def read(log: Path) -> list[str]:
    """Its lines without their times, but for the first one, which names process and command."""
    first, *lines = log.read_text(encoding="utf-8").splitlines()
    assert re.match(TIME + r"process \d+: ", first)
    assert all(re.match(TIME, line) for line in lines)
    return [re.sub(TIME, "", line) for line in lines]


def test_every_line_is_there_with_its_time_before_anybody_sees_it(tmp_path: Path) -> None:
    seen = []
    for update in logged(updates(), log=tmp_path / "search.log"):
        seen.append(update)
        assert len(read(tmp_path / "search.log")) == [1, 1, 2][len(seen) - 1]

    assert tuple(seen) == UPDATES
    assert read(tmp_path / "search.log") == TOLD


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StudyError("it is gone;\nmake it again"), ["the search ends: it is gone;", "make it again"]),
        (KeyboardInterrupt(), ["the search ends: KeyboardInterrupt"]),
    ],
)
def test_the_error_that_ends_a_search_is_there(error: BaseException, said: list[str], tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        list(logged(updates(error), log=tmp_path / "search.log"))

    assert read(tmp_path / "search.log") == [*TOLD, *said]


def test_a_fault_of_ours_is_there_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        list(logged(updates(ZeroDivisionError("a fault of ours")), log=tmp_path / "search.log"))

    lines = read(tmp_path / "search.log")
    assert lines[2].startswith("the search ends: Traceback")
    assert lines[-1] == "ZeroDivisionError: a fault of ours"


def test_who_leaves_early_is_told_so_and_the_search_is_closed(tmp_path: Path) -> None:
    inner = updates()
    outer = logged(inner, log=tmp_path / "search.log")
    next(outer)
    outer.close()

    assert list(inner) == []
    assert read(tmp_path / "search.log") == [TOLD[0], "the search ends: GeneratorExit"]


def test_a_log_that_cannot_be_written_ends_nothing_and_is_told_once(tmp_path: Path) -> None:
    log = tmp_path / "study" / "search.log"
    note, *found = logged(updates(), log=log)

    assert isinstance(note, Noted)
    assert note.message == f"cannot write {log}: No such file or directory; the search goes on"
    assert tuple(found) == UPDATES


def test_a_refused_search_makes_no_folder(tmp_path: Path) -> None:
    def refused() -> Generator[Update, None, None]:
        raise StudyError("not with this seed")
        yield Silent(seconds=0, message="")

    with pytest.raises(StudyError):
        list(logged(refused(), log=tmp_path / "study" / "search.log"))

    assert list(tmp_path.iterdir()) == []
