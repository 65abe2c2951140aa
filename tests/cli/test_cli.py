"""The command line as a person meets it: its answers, and one sentence with an exit code for what it refuses."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
import torchvision.datasets.utils
from tiny import database, starter

from search import cli
from search.data.cifar10 import OFFICIAL
from search.searching import supervisor
from search.searching.progress import Closed
from search.searching.request import Search
from search.searching.setup import Setup
from studies.history import History, read_history
from studies.storage import owned

PROGRAM = Path(sys.executable).with_name("cifar-search")
SMOKE = Path(cli.__file__).parents[2] / "spaces" / "smoke.yaml"

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


pytestmark = pytest.mark.usefixtures("images")


@pytest.fixture
def call(call: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The same with slots that measure at once and train nothing."""
    slots = MagicMock()  # what is refused is refused without a training
    slots.return_value.__enter__.return_value.measure.return_value = 1000.0
    monkeypatch.setattr(supervisor, "Pool", slots)
    monkeypatch.delenv("CIFAR_SEARCH_DATA", raising=False)
    return call


@pytest.fixture
def refused(call: Call) -> Refused:
    """What the program says to something that it will not do: one sentence, no traceback, the right exit code."""

    def refused(code: int, *arguments: object) -> str:
        found, output, errors = call(*arguments)
        assert (found, output) == (code, ""), errors
        assert errors.startswith("cifar-search: ")
        return errors

    return refused


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder of runs with a study that has no complete trial."""
    with starter(database(tmp_path))() as study:
        study.enqueue([("known", {"rate": 0.5})])
    return tmp_path


@pytest.fixture
def finished(tmp_path: Path) -> History:
    """A study of the smoke space with three complete trials, which nobody trained, in the folder of the test."""
    database(tmp_path)
    setup = Setup.of(Search(trials=3, space="smoke", data="synthetic", folder=tmp_path, device="cpu"))
    with owned(setup.url, study=setup.name) as storage:
        study = setup.study(replace(setup.draft()[0], epochs=2), storage=storage, carry=None)
        for accuracy in (0.5, 0.75, 0.25):
            asked = study.ask(setup.space.suggest)
            assert asked is not None
            for epoch in (1, 2):
                study.report(asked.number, epoch=epoch, accuracy=accuracy)
            study.complete(asked.number, parameters=1234, flops=5e6)
        return study.history()


def command(folder: Path) -> tuple[str, ...]:
    return ("run", "--space", "smoke", "--data", "synthetic", "--device", "cpu", "--trials", "3", "--runs", str(folder))


def test_missing_data_is_a_sentence(refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", offline)
    for folder in ("empty", "cut"):
        (tmp_path / folder).mkdir()
    for name in OFFICIAL:
        (tmp_path / "cut" / name).write_bytes(b"short")
    for folder, says in (
        ("nowhere", f"{tmp_path / 'nowhere'} is not a folder; "),
        ("empty", f"{tmp_path / 'empty'} holds no CIFAR-10"),
        ("empty", "no network"),
        ("cut", "data_batch_1 is truncated or altered: the MD5 of its 5 bytes"),
    ):
        assert says in refused(3, "run", "--data", tmp_path / folder, "--runs", tmp_path / "runs")


def test_every_mistake_of_a_space_file_is_named_with_its_line(refused: Refused, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = SMOKE.read_text().replace("float: [0.5, 8.0]", "float: [8.0, 0.5]").replace("activation:", "activatoin:", 1)
    file.write_text(text)
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if "8.0, 0.5" in line or "toin" in line]

    said = refused(2, "run", "--space", file, "--data", "synthetic", "--runs", tmp_path)

    assert len(lines) == 2
    assert [f"{file}:{line}: " in said for line in lines] == [True, True], said
    assert re.search(r"activatoin is not .*nearest: (architecture\.)?activation\b", said)


@pytest.mark.parametrize(
    ("option", "value", "code", "said"),
    [
        ("--space", "smok", 2, "nearest: smoke"),
        ("--study", "-mine", 4, "letters, digits"),
        ("--sampler", "tpo", 4, "did you mean 'tpe'"),
        ("--pruner", "medan", 4, "did you mean 'median'"),
        ("--storage", "studies.db", 5, "write --storage sqlite:///studies.db"),
        ("--trials", "0", 2, "--trials must be from 1 to 10,000,000, not 0"),
        ("--seed", str(2**63), 2, f"--seed must be from 0 to {2**63 - 1:,}, not {2**63:,}"),
        ("--gpus-per-slot", "1.5", 2, "--gpus-per-slot must be from 0 to 1, not 1.5"),
        ("--slots", "1001", 2, "--slots must be from 1 to 1,000, not 1,001"),
        ("--timeout", "9" * 400, 2, "--timeout must be from 1 to 10,000,000, not inf"),
        ("--trial-timeout", "0s", 2, "--trial-timeout must be from 1 to 10,000,000, not 0"),
        ("--timeout", "soon", 2, "--timeout: a time such as 90s, 30m or 2h, not 'soon'"),
        ("--slots", "many", 2, "a number from 1, or auto, not 'many'"),
        ("--images", "3", 2, "from 10, one of each class, to 1,800, not 3"),
        ("--compile", "fastest", 2, "default, reduce-overhead"),
        ("--device", "tpu", 2, "known: cpu, cuda"),
    ],
)
def test_an_option_that_cannot_be_is_a_sentence(
    refused: Refused, tmp_path: Path, option: str, value: str, code: int, said: str
) -> None:
    assert said in refused(code, *command(tmp_path / "runs"), f"{option}={value}")


def test_ray_alone_means_auto_and_brings_its_own_slots(refused: Refused, tmp_path: Path) -> None:
    assert "with --ray give --gpus-per-slot" in refused(2, *command(tmp_path / "runs"), "--ray", "--slots", "auto")


def test_cuda_where_there_is_none(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert "leave --device out" in refused(2, "run", "--data", "synthetic", "--device", "cuda")


@pytest.mark.parametrize("arguments", [["status", "--json"], ["best"], ["best", "--retrain"], ["dashboard"]])
def test_without_a_database_nothing_is_made(refused: Refused, tmp_path: Path, arguments: list[str]) -> None:
    assert "there is no database" in refused(5, *arguments, "--runs", tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_best_needs_a_complete_trial(refused: Refused, begun: Path) -> None:
    for arguments in (["best"], ["best", "--json"], ["best", "--retrain", "--data", "synthetic"]):
        assert "no complete trial" in refused(4, *arguments, "--runs", begun)


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        (["Detectocorp"], "--claim: a claim is NAME="),
        (["Detectocorp=170"], "not 170 %"),
        (["Detectocorp=70", "Detectocorp=80"], "Detectocorp claims 2 accuracies"),
    ],
)
def test_a_claim_that_is_none(refused: Refused, claims: list[str], says: str) -> None:
    assert says in refused(2, "best", "--retrain", *(word for claim in claims for word in ("--claim", claim)))


def test_another_space_is_refused_with_the_difference(refused: Refused, finished: History, tmp_path: Path) -> None:
    file = tmp_path / "smoke.yaml"
    file.write_text(SMOKE.read_text().replace("float: [0.5, 8.0]", "float: [0.5, 9.0]"))

    said = refused(4, *command(tmp_path), "--space", file)

    assert re.search(r"recipe\.learning_rate: .*8.* -> .*9", said)
    assert "--study OTHER" in said
    assert read_history("smoke", storage=f"sqlite:///{tmp_path}/studies.db").trials == finished.trials


@pytest.mark.parametrize("trials", [3, 2])
def test_a_finished_study_is_left_as_it_is_and_said_so(
    call: Call, finished: History, tmp_path: Path, trials: int
) -> None:
    code, output, errors = call(*command(tmp_path), "--trials", trials)

    assert (code, errors) == (0, "")
    assert "3 of 3 are finished" in output
    assert "; nothing is left to train" in output
    assert ("note: 3 trials are finished already, more than --trials 2" in output) == (trials == 2)
    assert "3 of 3 finished" in call("status", "--runs", tmp_path)[1]
    assert read_history("smoke", storage=f"sqlite:///{tmp_path}/studies.db").trials == finished.trials


@pytest.mark.usefixtures("finished")
def test_status_and_best_for_people_and_programs(call: Call, tmp_path: Path) -> None:
    status = json.loads(call("status", "--json", "--runs", tmp_path)[1])
    best = json.loads(call("best", "--json", "--runs", tmp_path)[1])

    assert status["study"] == "smoke"
    assert status["trials"] == {"complete": 3, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    assert status["best"] == {"number": 1, "validation_accuracy": 0.75}
    assert (best["number"], best["validation_accuracy"], best["values"]["architecture.family"]) == (1, 0.75, "cnn")
    assert "3 of 3 finished: 3 complete" in call("status", "--runs", tmp_path)[1]
    assert "trial 1 of study smoke: 75.00 %" in call("best", "--runs", tmp_path)[1]


PASSWORD = "ge+heim@zu"
SECRET = f"postgresql+nothing://me:{PASSWORD}@127.0.0.1:1/studies"


@pytest.mark.parametrize("arguments", [["status"], ["best"], ["dashboard", "--port", "1"], [*command(Path("runs"))]])
def test_no_password_is_shown_by_a_refusal(call: Call, tmp_path: Path, arguments: list[str]) -> None:
    code, output, errors = call(*arguments, "--storage", SECRET, "--runs", tmp_path)

    assert code == 5
    assert PASSWORD not in output + errors
    assert "postgresql+nothing://me:***@" in errors


def test_no_password_is_shown_by_the_command_that_goes_on(
    call: Call, finished: History, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "run", lambda _, **__: iter([Closed(history=finished, signal=signal.SIGTERM)]))

    code, output, errors = call(*command(tmp_path / "my [old] runs"), "--storage", SECRET)

    assert code == 128 + signal.SIGTERM
    assert PASSWORD not in output + errors
    (line,) = re.findall(r"go on with: (.*)", output)
    assert str(tmp_path / "my [old] runs") in shlex.split(line)


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['cifar-search', '--help']\n"
        "from search.cli import main\n"
        "try: main()\n"
        "except SystemExit: print('HEAVY', {'torch', 'optuna', 'sqlalchemy', 'numpy', 'pydantic'} & {*sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("HEAVY set()\n")
    assert all(name in done.stdout for name in ("run", "status", "best", "dashboard", "bench"))


def test_the_installed_program_helps_in_less_than_a_second_and_refuses_like_its_entry_point(tmp_path: Path) -> None:
    def seconds(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([PROGRAM, *arguments], check=True, capture_output=True)
        return time.perf_counter() - start

    assert min(seconds("--help") for _ in range(5)) < 1  # 0.3 on an idle machine
    assert min(seconds("run", "--help") for _ in range(2)) < 1
    done = subprocess.run([PROGRAM, "status", "--runs", tmp_path], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (5, "")
    assert re.fullmatch(r"cifar-search: there is no database at .*\n", done.stderr)
