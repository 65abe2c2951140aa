"""A tiny study that is searched without any training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna

from search.inspecting.audit import violations_of
from studies.history import History, read_history
from studies.manifest import Manifest
from studies.start import open_study
from studies.storage import opened, owned
from studies.study import Asked, Study

ROOT = Path(__file__).parents[1]
MANIFEST = Manifest(
    space_name="tiny",
    space={"rate": [0.0, 1.0]},
    space_fingerprint="aaaa",
    split_fingerprint="bbbb",
    data_fingerprint="cccc",
    seed=0,
    epochs=3,
    retrain_epochs=9,
    versions={"optuna": "5.0.0"},
)
SHA256 = "ab" * 32

Start = Callable[..., AbstractContextManager[Study]]


@cache
def _tables() -> bytes:
    with TemporaryDirectory() as folder, opened(f"sqlite:///{folder}/studies.db"):
        return Path(folder, "studies.db").read_bytes()


def database(folder: Path) -> str:
    """The URL of a SQLite database in a folder, without a study but with the tables, which take a while to make."""
    (folder / "studies.db").write_bytes(_tables())
    return f"sqlite:///{folder}/studies.db"


def done(study: Study) -> bool:
    """Whether every trial of the study is finished."""
    return study.history().finished >= study.trials


def starter(url: str) -> Start:
    """Owns and opens studies at a storage URL."""

    @contextmanager
    def start(
        name: str = "tiny", *, trials: int = 20, manifest: Manifest = MANIFEST, **options: Any
    ) -> Iterator[Study]:
        with owned(url, study=name) as storage:
            yield open_study(
                name,
                storage=storage,
                url=url,
                trials=trials,
                manifest=manifest,
                conditional=False,
                differences=lambda old, new: [f"rate: {old['rate']} -> {new['rate']}"],
                **{"sampler": "random", "pruner": "none", **options},
            )

    return start


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {"rate": trial.suggest_float("rate", 0, 1), "width": trial.suggest_int("width", 1, 64), "fixed": "relu"}


def ask(study: Study) -> Asked:
    """The next trial, of which there is one."""
    asked = study.ask(suggest)
    assert asked is not None
    return asked


def finish(study: Study, asked: Asked) -> None:
    """The whole life of a trial; what is stored of it already is reported again."""
    for epoch in range(1, study.manifest.epochs + 1):
        if study.report(asked.number, epoch=epoch, accuracy=float(asked.values["rate"])):
            return study.prune(asked.number)
    return study.complete(asked.number, checkpoint=SHA256)


def run(study: Study) -> None:
    """Every trial that this study hands out."""
    while asked := study.ask(suggest):
        finish(study, asked)


def check(url: str, *, name: str = "tiny") -> History:
    """The records are true, and nothing is left running."""
    history = read_history(name, storage=url)
    assert violations_of(history, searching=False) == []
    return history


def forked(do: Callable[[], object]) -> int:
    """Runs something in a child process; its exit code, negative for a signal."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        do()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A child that runs some code with these modules in reach."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, text=True, **options)


def kill_at(point: str, *, times: int = 1) -> None:
    """This process ends by SIGKILL when it comes to a named point of a study for the so manieth time."""
    left = times

    def hook(event: str, _arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event == f"cifar_search.study.{point}":
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
