"""A slot runs nothing of the user's, however a program is started; what keeps it from starting is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from starts import children, session, wait_for

from search.slots.job import Finished, Job, SlotSettings
from search.slots.pool import Pool
from search.slots.slot_state import SlotError

ROOT = Path(__file__).parents[2]
# Without a guard against being run again in a child.
PROGRAM = """
from pathlib import Path
from search.slots.job import Job, SlotSettings
from search.slots.pool import Pool

settings = SlotSettings(source=None, split=None, device="cpu", threads=1, precision="float32")
with Pool([settings], log=Path("a folder", "slots.log"), work="stub:work") as slots:
    print(*(event for _, event in slots.run_all([Job(name="a job", candidate=None)])))
"""
THREAD = "import threading\nthread = threading.Thread(target=exec, args=({!r}, {{}}))\nthread.start()\nthread.join()"
DAEMON = """
import multiprocessing
process = multiprocessing.get_context("fork").Process(target=exec, args=({!r}, {{}}), daemon=True)
process.start()
process.join()
"""
MEASURE = Job(name="a job", candidate=None)  # type: ignore[arg-type] # the stub trains nothing


def works(folder: Path, *command: str, given: str = "", **environment: str) -> None:
    """The program runs once, and so does its job; its slot has nothing to complain of."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, input=given, env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Finished(")
    assert done.stdout.count("\n") == 1
    assert (folder / "a folder" / "slots.log").read_text() == ""


def test_a_script_without_a_guard_works_also_from_standard_input_and_in_a_thread(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(PROGRAM)
    works(tmp_path, "script.py")
    works(tmp_path, "-", given=PROGRAM)
    works(tmp_path, "-", given=THREAD.format(PROGRAM))


def test_a_daemon_of_multiprocessing_which_may_have_no_children_of_its_kind_has_slots(tmp_path: Path) -> None:
    works(tmp_path, "-", given=DAEMON.format(PROGRAM))


def test_a_folder_of_temporary_files_may_have_a_name_too_long_for_a_socket(tmp_path: Path) -> None:
    (tmp_path / ("x" * 200)).mkdir()
    works(tmp_path, "-", given=PROGRAM, TMPDIR=str(tmp_path / ("x" * 200)))


@pytest.mark.fault("search.py, random.py or torch.py in the current folder", then="no slot runs it")
def test_files_of_the_current_folder_are_not_run(tmp_path: Path) -> None:
    for name in ("search", "random", "torch", "stub", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user was run')")
    # The installed command's own path does not hold the current folder. An empty part of PYTHONPATH means it.
    begin = "import os, sys; del sys.path[0]; os.environ['PYTHONPATH'] = os.pathsep + os.environ['PYTHONPATH']"
    works(tmp_path, "-c", f"{begin}; exec({PROGRAM!r})")


def test_a_slot_that_cannot_be_started_says_why_and_names_a_log_that_says_more(
    tmp_path: Path, slot_settings: SlotSettings
) -> None:
    log = tmp_path / "no folder yet" / "slots.log"
    with pytest.raises(SlotError, match=r"no slot can be started: ModuleNotFoundError: No module named 'no'; see"):
        Pool([slot_settings], log=log, work="no.module:work")
    assert "Traceback" in log.read_text()
    (tmp_path / "a file").touch()
    with pytest.raises(SlotError, match=r"no slot can be started: .*File exists: '.*a file'$"):
        Pool([slot_settings], log=tmp_path / "a file" / "slots.log", work="no.module:work")


@pytest.mark.fault("kill -9 of the server of the slots", then="its slots are lost; the next one starts another server")
def test_a_killed_server_takes_its_slots_along_and_another_takes_its_place(
    tmp_path: Path, slot_settings: SlotSettings
) -> None:
    with Pool([slot_settings], log=tmp_path / "slots.log", work="stub:work") as slots:
        (server,) = (pid for pid in children(os.getpid()) if slots.pids[0] in children(pid))
        list(slots.run_all([MEASURE]))
        os.kill(server, signal.SIGKILL)
        wait_for(lambda: session(slots.pids[0]) is None, what=lambda: f"slot {slots.pids} to end")

        ((_, finished),) = slots.run_all([MEASURE])

        assert isinstance(finished, Finished)
        assert server not in children(os.getpid())


def test_a_slot_works_where_the_program_is_now(
    tmp_path: Path, slot_settings: SlotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths may be relative, and its server was started elsewhere."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with Pool([slot_settings], log=tmp_path / "slots.log", work="stub:work") as slots:
            job = replace(MEASURE, epochs=1, checkpoints=Path("kept"))
            events = [event for _, event in slots.run_all([job])]
        assert isinstance(events[-1], Finished)
        assert (tmp_path / name / "kept" / "final.ckpt").exists()
