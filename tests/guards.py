"""Every guard of the machinery with the test that fails without it: `python tests/guards.py` checks them all.

A guard is taken out of a copy of the project by replacing its text, and its test is run there: it must fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What keeps one thing true."""

    name: str
    file: str
    text: str
    without: str  # what stands in its place
    test: str


GUARDS = (
    Guard(
        name="fsync of a checkpoint before its rename",
        file="search/files.py",
        text="            os.fsync(file.fileno())  # before",
        without="            # before",
        test="slots/test_checkpoint_store.py::test_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_is_relied_on",
    ),
    Guard(
        name="fsync of the folder after the rename",
        file="search/files.py",
        text="        sync_folder(path.parent)\n",
        without="",
        test="slots/test_checkpoint_store.py::test_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_is_relied_on",
    ),
    Guard(
        name="rename of a whole temporary file",
        file="search/files.py",
        text='    partial = path.with_name(f"{path.name}.{os.getpid()}.part")',
        without="    partial = path",
        test="slots/test_checkpoint_store.py::test_a_kill_at_any_point_leaves_the_old_or_the_new",
    ),
    Guard(
        name="SHA-256 of a checkpoint",
        file="search/slots/checkpoint_store.py",
        text='        if line + b"\\n" != _header(payload, hashlib.sha256(payload).hexdigest()):',
        without="        if False:",
        test="slots/test_checkpoint_store.py::test_sixty_of_sixty_random_flips_in_a_file_of_real_size_are_noticed",
    ),
    Guard(
        name="the last two checkpoints are kept",
        file="search/slots/checkpoint_store.py",
        text="            if other not in (path, keep):",
        without="            if other != path:",
        test="slots/test_job_runner.py::test_from_a_bad_checkpoint_it_goes_back_to_the_one_before_and_ends_the_same",
    ),
    Guard(
        name="checkpoints are data, never code",
        file="search/training/checkpoint.py",
        text="weights_only=True, ",
        without="",
        test="training/test_checkpoint.py::test_a_checkpoint_never_runs_code",
    ),
    Guard(
        name="a checkpoint names its training",
        file="search/training/checkpoint.py",
        text='found.get("identity") != identity',
        without="False",
        test="training/test_checkpoint.py::test_a_checkpoint_of_another_training_or_format_is_refused",
    ),
    Guard(
        name="an epoch is reported before a checkpoint lies beyond it",
        file="search/slots/job_runner.py",
        text="if known is not None and any(known < epoch <= training.epoch for epoch in training.validated):",
        without="if False:",
        test="slots/test_job_runner.py::test_a_checkpoint_beyond_the_last_known_epoch_is_not_taken",
    ),
    Guard(
        name="random generators are part of a checkpoint",
        file="search/training/train.py",
        text='        torch.set_rng_state(state["global generator"])\n',
        without="",
        test="training/test_checkpoint.py::test_left_after_any_step_and_taken_up_it_ends_bit_for_bit_the_same",
    ),
    Guard(
        name="one process owns a study in SQLite",
        file="studies/lock.py",
        text="            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        without="            pass",
        test="faults/test_faults.py::test_a_second_search_is_refused",
    ),
    Guard(
        name="the lock lies with the database",
        file="studies/lock.py",
        text="    return database.with_name(",
        without="    return Path.cwd().joinpath(",
        test="studies/test_lock.py::test_the_lock_lies_beside_the_database_not_in_the_folder_of_runs",
    ),
    Guard(
        name="a server's lock is taken again after a reconnect",
        file="studies/server.py",
        text='"pool_events": [(lock.connected, "connect")], ',
        without="",
        test="studies/test_lock.py::test_the_lock_is_taken_again_after_a_restart_or_everything_is_refused",
    ),
    Guard(
        name="running trials that nobody runs wait again",
        file="studies/study.py",
        text="            lost = [trial for trial in trials if trial.number not in self._running]",
        without="            lost = trials[:0]",
        test="faults/test_faults.py::test_a_killed_search_is_repaired_by_the_next_start",
    ),
    Guard(
        name="a repeated end of a trial is no second one",
        file="studies/study.py",
        text="if self._frozen(number).state != state:",
        without="if True:",
        test="faults/test_repeats.py::test_call_without_an_answer_is_made_again",
    ),
    Guard(
        name="an attempt's loss counts once",
        file="studies/study.py",
        text="[loss for loss in record.losses if loss.attempt != record.attempts]",
        without="list(record.losses)",
        test="faults/test_repeats.py::test_third_loss_whose_answer_was_lost",
    ),
    Guard(
        name="a trial is tried at most three times",
        file="studies/study.py",
        text="if len(losses) <= MOST_RETRIES:",
        without="if True:",
        test="faults/test_faults.py::test_a_trial_that_kills_every_slot_fails_by_name",
    ),
    Guard(
        name="an outage is waited out",
        file="search/searching/dispatcher.py",
        text="if self.flag.signal is not None or silent > OUTAGE:",
        without="if True:",
        test="faults/test_outages.py::test_a_restart_of_the_database",
    ),
    Guard(
        name="watchdog of slots without progress",
        file="search/slots/slot_state.py",
        text="        if silent > (self.job.patience if self.ready else Job.patience):",
        without="        if False:",
        test="faults/test_faults.py::test_a_hung_slot_is_dumped_and_its_trial_tried_again",
    ),
    Guard(
        name="silence while the supervisor slept counts against nobody",
        file="search/slots/slot_state.py",
        text="        if now - last_read > SUPERVISOR_PAUSE:",
        without="        if False:",
        test="faults/test_faults.py::test_a_pause_of_everything_counts_against_nobody",
    ),
    Guard(
        name="slots that cannot start end the search",
        file="search/slots/slot_state.py",
        text="if self._failed_starts == MAX_FAILED_STARTS:",
        without="if False:",
        test="faults/test_study_faults.py::test_slots_that_cannot_start_stop_the_search",
    ),
    Guard(
        name="slots die with their supervisor",
        file="search/slots/server.py",
        text="                ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)",
        without="                pass",
        test="faults/test_faults.py::test_a_hung_slot_dies_with_its_search",
    ),
    Guard(
        name="a slot leaves in order at a signal",
        file="search/slots/server.py",
        text="return self._pause or self.flag.signal is not None",
        without="return self._pause",
        test="faults/test_faults.py::test_a_signal_to_a_slot_moves_its_trial",
    ),
    Guard(
        name="a password is masked",
        file="studies/storage.py",
        text='shown = re.sub(r"(?s)(://[^:/?#]*):.*@", r"\\1:***@", url)',
        without="shown = url",
        test="studies/test_storage.py::test_password_is_never_shown",
    ),
    Guard(
        name="SQLite is refused on a network file system",
        file="studies/storage.py",
        text="kind = network_file_system(file.parent)",
        without="kind = None",
        test="studies/test_lock.py::test_a_network_file_system_is_refused",
    ),
)


def table() -> str:
    """For CONTRIBUTING.md."""
    rows = (f"| {guard.name} | `{guard.file}` | `{guard.test}` |\n" for guard in GUARDS)
    return "| guard | in | test that fails without it |\n|---|---|---|\n" + "".join(rows)


def survives(guard: Guard) -> bool:
    """Whether its test passes without it, as it must not."""
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("search", "spaces", "studies", "tests", "pyproject.toml", "README.md", "CONTRIBUTING.md"):
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        file = copy / guard.file
        text = file.read_text(encoding="utf-8")
        assert text.count(guard.text) == 1, (
            f"{guard.name}: its text stands {text.count(guard.text)} times in {guard.file}"
        )
        file.write_text(text.replace(guard.text, guard.without), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", "-m", "not slow", f"tests/{guard.test}"],
            cwd=copy, env={**os.environ, "PYTHONPATH": f"{copy}:{copy / 'tests'}"}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
        return done.returncode == 0


if __name__ == "__main__":
    wanted = sys.argv[1:]
    survivors = []
    for guard in GUARDS:
        if not wanted or any(word in guard.name for word in wanted):
            verdict = "SURVIVES" if survives(guard) else "is held"
            print(f"{verdict}  {guard.name}", flush=True)
            survivors += [guard.name] * (verdict == "SURVIVES")
    sys.exit(bool(survivors))
