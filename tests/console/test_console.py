"""What a person sees of a search: a live picture in a terminal, plain lines elsewhere, the same words everywhere."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
import tiny
from rich.console import Console

from search.console.tables import best_table, status_table
from search.console.terminal import columns, console
from search.console.watch import EVENTS, Picture, watch
from search.inspecting.status import Status
from search.searching.progress import Closed, Ended, Opened, Progressed, Started, Update, Waited
from search.training.result import EpochResult
from studies.history import History, TrialRecord

MANIFEST = replace(tiny.MANIFEST, space_name="fast", epochs=4)
VALUES: dict[str, Any] = {"architecture.family": "fast", "architecture.stages": 1, "architecture.width.1": 16}
VALUES |= {"recipe.optimizer": "sgd", "recipe.weight_decay": 0.0125}


def trial(number: int, state: str, accuracy: float | None = None, **changes: Any) -> TrialRecord:
    fields: dict[str, Any] = {
        "number": number, "state": state, "values": VALUES, "accuracy": accuracy, "outcome": None, "message": None,
        "epochs": (), "curve": (), "seed": 1, "baseline": None, "violations": {}, "started": None, "seconds": 10.0,
        "attributes": {"parameters": 12345, "flops": 5.5e6, "seconds_per_epoch": 1.25},
    }  # fmt: skip
    return TrialRecord(**{**fields, **changes})


def history(*trials: TrialRecord) -> History:
    return History(study="mine", manifest=MANIFEST, planned=10, trials=trials)


def opened(*trials: TrialRecord, **changes: Any) -> Opened:
    fields: dict[str, Any] = {
        "study": "mine", "space": "fast.yaml", "storage": "sqlite:///runs/studies.db",
        "machine": "CPU with 2 cores, 2 slots of 1 thread, bfloat16", "data": "CIFAR-10 in /data", "epochs": 4,
        "seconds": 3000.0, "notes": ("torch 2.10 -> 2.11",), "history": history(*trials),
    }  # fmt: skip
    return Opened(**{**fields, **changes})


def epoch(number: int, epoch: int, accuracy: float) -> Progressed:
    result = EpochResult(
        epoch=epoch, epochs=4, train_loss=1.0, train_accuracy=0.5, validation_loss=1.0, validation_accuracy=accuracy,
        learning_rate=0.1, seconds=61.4,
    )  # fmt: skip
    return Progressed(number=number, result=result)


def ended(last: TrialRecord, *before: TrialRecord) -> Ended:
    message, seen = last.message or "", history(*before, last)
    return Ended(number=last.number, state=last.state, outcome=last.outcome, message=message, history=seen)


FIRST, SECOND = trial(0, "complete", 0.8123, baseline="airbench-small"), trial(1, "pruned", 0.31)
THIRD = trial(2, "failed", outcome="crashed", message="the slot was killed by SIGKILL (out of memory?)")
RECORD: tuple[Update, ...] = (
    opened(),
    Started(number=0, slot=0, title="airbench-small: fast 32/64/128, sgd 11.5, batch 256"),
    Started(number=1, slot=1, title="fast 16/32/64, adamw 4.2, batch 512"),
    Waited(),
    epoch(0, 1, 0.61),
    epoch(1, 1, 0.31),
    ended(SECOND, FIRST),
    epoch(0, 4, 0.8123),
    ended(FIRST),
    Started(number=2, slot=0, title="fast 40/80/160, sgd 24, batch 128"),
    ended(THIRD, FIRST, SECOND),
    Closed(history=history(FIRST, SECOND, THIRD)),
)


def drawn(renderable: Any, *, width: int = 100) -> str:
    file = StringIO()
    Console(file=file, width=width).print(renderable)
    return file.getvalue()


def watched(updates: Iterable[Update], file: StringIO, *, terminal: bool = False) -> str:
    """All that a terminal, or a file, of 100 columns got, without colours and movements."""
    assert isinstance(watch(updates, console=Console(file=file, force_terminal=terminal, width=100, height=40)), Closed)
    return bare(file)


def bare(file: StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()).replace("\r", "")


def test_plain_lines_tell_every_event_once() -> None:
    lines = watched(RECORD, file := StringIO()).splitlines()

    assert "\x1b" not in file.getvalue()
    assert lines == [
        "CPU with 2 cores, 2 slots of 1 thread, bfloat16; CIFAR-10 in /data; about 50 min for 10 trials",
        "study mine in sqlite:///runs/studies.db: 4 epochs a trial",
        "note: torch 2.10 -> 2.11",
        "trial 0 starts: airbench-small: fast 32/64/128, sgd 11.5, batch 256",
        "trial 1 starts: fast 16/32/64, adamw 4.2, batch 512",
        "trial 0 epoch 1/4: 61.00 % (61 s)",
        "trial 1 epoch 1/4: 31.00 % (61 s)",
        "trial 1 pruned, 31.00 %",
        "trial 0 epoch 4/4: 81.23 % (61 s)",
        "trial 0 complete, 81.23 %, best so far",
        "trial 2 starts: fast 40/80/160, sgd 24, batch 128",
        "trial 2 crashed: the slot was killed by SIGKILL (out of memory?)",
        "1 complete, 1 pruned, 1 failed in 0 s; best: trial 0, 81.23 %",
    ]


def test_going_on_says_what_is_finished_and_stopping_what_waits() -> None:
    done = [trial(number, "complete", 0.5) for number in range(10)]
    stopped = Closed(history=history(FIRST), signal=2, put_back=(1, 2))

    assert "10 of 10 are finished" in watched([opened(*done), Closed(history=history(*done))], StringIO())
    assert watched([opened(), stopped], StringIO()).splitlines()[-1].endswith("; trial 1, 2 put back")


def test_where_ctrl_c_ended_the_reader_too_the_last_line_is_an_error_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("search.console.watch.reader_left", lambda: True)
    watched([opened(), Closed(history=history(FIRST), signal=2, put_back=(1,))], StringIO())
    assert capsys.readouterr().err == "1 complete in 0 s; best: trial 0, 81.23 %; trial 1 put back\n"

    watched([opened(), Closed(history=history(FIRST))], StringIO())
    assert capsys.readouterr().err == ""


def test_the_live_picture_shows_what_runs_the_best_and_the_last_events() -> None:
    picture = Picture()
    assert "measuring" in drawn(picture.draw())
    best = [trial(number, "complete", 0.9 - number / 100) for number in range(7)]
    for update in (opened(*best), *RECORD[1:4], epoch(0, 3, 0.777)):
        picture.take(update)

    text = drawn(picture.draw())

    assert re.search(r"7/10 trials, 7 complete, 2 running, about 50 min left", text)
    assert re.search(r"0 +3/4 +77\.70 % +airbench-small: fast 32/64/128", text)
    assert re.search(r"1 +0/4 +- +fast 16/32/64, adamw", text)
    rows = re.findall(r"^ +(\d) +(\d\d\.\d\d) % +12,345 +5\.5 +1\.2 +fast 16, sgd", text, re.MULTILINE)
    assert rows == [("0", "90.00"), ("1", "89.00"), ("2", "88.00"), ("3", "87.00"), ("4", "86.00")]
    assert "trial 0 epoch 3/4: 77.70 % (61 s)" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_live_picture_forgets_old_events() -> None:
    picture = Picture()
    for update in (opened(), RECORD[1], *(epoch(0, number, 0.5) for number in range(20))):
        picture.take(update)

    assert re.findall(r"epoch (\d+)/4", drawn(picture.draw())) == [str(number) for number in range(20 - EVENTS, 20)]


def test_a_terminal_gets_the_picture_while_it_runs_and_the_outcome_at_the_end() -> None:
    file = StringIO()

    def slowly() -> Iterator[Update]:
        """Waits in the middle until the picture was drawn."""
        yield from RECORD[:5]
        deadline = time.monotonic() + 10
        while "fast 16/32/64, adamw" not in bare(file) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield from RECORD[5:]

    text = watched(slowly(), file, terminal=True)

    assert "note: torch 2.10 -> 2.11" in text
    assert re.search(r"1 +0/4 +- +fast 16/32/64, adamw 4.2", text)
    end = text[text.rindex("3/10 trials") :]
    assert "3/10 trials, 1 complete, 1 pruned, 1 failed" in end
    assert re.search(r"0 +81\.23 % .* airbench-small", end)
    assert "1 complete, 1 pruned, 1 failed in 0 s; best: trial 0, 81.23 %" in end
    assert text.count("CPU with 2 cores") == 1


BRACKETS = "RuntimeError: [enforce fail at alloc_cpu.cpp:126] err == 0. [/tmp/x] DefaultCPUAllocator :bomb:"


@pytest.mark.parametrize("terminal", [False, True])
def test_what_an_error_says_is_shown_letter_by_letter(terminal: bool) -> None:
    """torch writes such brackets, and a folder may be called so: they are no styles, and no reason to stop."""
    failed = trial(0, "failed", outcome="out-of-memory", message=BRACKETS)
    closed = Closed(history=history(failed))
    updates = (opened(data="CIFAR-10 in /data/[old]/x"), Started(number=0, slot=0, title="[b]"), ended(failed), closed)

    text = "".join(watched(updates, StringIO(), terminal=terminal).split())

    assert "".join(BRACKETS.split()) in text
    assert "/data/[old]/x" in text


def test_a_name_is_text_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich reads `[/v2]` as the end of a style and raises, `[b]` as a style, `:bomb:` as a picture."""
    odd = "[/v2] [b] :bomb:"
    found = history(trial(0, "complete", 0.5, baseline=odd), trial(1, "running", 0.4, epochs=((1, 0.4),)))
    found = replace(found, manifest=replace(MANIFEST, space_name=odd, cost="parameters"))
    for draw in (status_table(Status(history=found, storage=odd)), best_table(found)):
        console().print(draw, soft_wrap=True)
    console().print(columns(odd, title=odd))

    text = capsys.readouterr().out
    assert f"mine ({odd}.yaml) in {odd}\n" in text
    assert text.count(f"1.2    {odd}") == 1  # the best five
    assert f"(baseline {odd})" in text
    assert re.search(rf"\n{re.escape(odd)} +\n +{re.escape(odd)} +\n$", text)


def test_status_and_best_as_tables() -> None:
    running = trial(3, "running", 0.4, epochs=((1, 0.3), (2, 0.4)), seconds=None)
    found = history(FIRST, SECOND, THIRD, running)

    status = drawn(status_table(Status(history=found, storage="sqlite:///runs/[a]/studies.db")))
    best = drawn(best_table(found))

    assert re.search(r"3 of 10 finished: 1 complete, 1 pruned, 1 failed, 1 running", status)
    assert "trial 3 (2/4) epochs" in status
    assert re.search(r"time left +about 70 s", status)
    assert "mine (fast.yaml) in sqlite:///runs/[a]/studies.db" in status  # letter by letter
    assert re.search(r"0 +81\.23 % +12,345 +5\.5", status)
    assert "trial 0 of study mine: 81.23 % on the validation images (baseline airbench-small)" in best
    assert re.search(r"recipe\.weight_decay +0\.0125", best)
    assert re.search(r"parameters +12,345", best)
    assert "--retrain" in best


@pytest.mark.parametrize(("width", "left_out"), [(100, 0), (60, 1), (40, 3)])
def test_in_a_narrow_terminal_a_number_is_whole_or_its_column_is_left_out(width: int, left_out: int) -> None:
    huge = {"parameters": 123_456_789, "flops": 98.7654e9, "seconds_per_epoch": 1234.5}
    found = history(*(trial(number, "complete", 0.8123, attributes=huge) for number in range(3)))
    picture = Picture()
    for update in (opened(), Started(number=3, slot=0, title="fast 32/64/128, sgd 11.5, batch 256"), epoch(3, 1, 0.61)):
        picture.take(update)

    status = drawn(status_table(Status(history=found, storage="sqlite:///runs/studies.db")), width=width)
    live = drawn(picture.draw(), width=width)

    costs = ["123,456,789", "98765.4", "1234.5"][: 3 - left_out]
    assert re.search(r"^ +2 +81\.23 % +" + "".join(f"{cost} +" for cost in costs) + r"fast", status, re.MULTILINE)
    assert [name for name in ("parameters", "MFLOPs", "s/epoch") if name in status] == [
        *("parameters", "MFLOPs", "s/epoch")
    ][: len(costs)]
    assert "0.0125" in drawn(best_table(found), width=width)
    assert re.search(r" 3 .*61\.00 %  +fast", live)
    assert all(len(line) <= width for line in (status + live).splitlines())
    assert "…" not in live
