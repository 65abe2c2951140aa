"""A tiny study that is searched without any training."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna

from search.inspecting.doctor import violations_of
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


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [f"rate: {old['rate']} -> {new['rate']}"]


def starter(url: str) -> Start:
    """Owns and opens studies at a storage URL."""

    @contextmanager
    def start(
        name: str = "tiny", *, trials: int = 20, manifest: Manifest = MANIFEST, **options: Any
    ) -> Iterator[Study]:
        given = {"sampler": "random", "pruner": "none", "conditional": False, "differences": differences, **options}
        with owned(url, study=name) as storage:
            yield open_study(name, storage=storage, url=url, trials=trials, manifest=manifest, **given)

    return start


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {"rate": trial.suggest_float("rate", 0, 1), "width": trial.suggest_int("width", 1, 64), "fixed": "relu"}


def ask(study: Study) -> Asked:
    """The next trial, of which there is one."""
    asked = study.ask(suggest)
    assert asked is not None
    return asked


def finish(
    study: Study,
    asked: Asked,
    *,
    accuracy: float | None = None,
    repeated: Callable[[Callable[[], Any]], Any] = lambda call: call(),
    **numbers: Any,
) -> None:
    """The whole life of a trial, of its rate as accuracy unless given; `repeated` repeats each call by itself."""
    accuracy, number = float(asked.values["rate"]) if accuracy is None else accuracy, asked.number
    for epoch in range(1, study.manifest.epochs + 1):
        if repeated(partial(study.report, number, epoch=epoch, accuracy=accuracy)):
            return repeated(partial(study.prune, number))
    return repeated(partial(study.complete, number, **{"checkpoint": SHA256, **numbers}))


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
    return os.waitstatus_to_exitcode(os.waitpid(fork(do), 0)[1])


def fork(do: Callable[[], object]) -> int:
    """Starts something in a child process; its id."""
    if pid := os.fork():
        return pid
    try:
        do()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A child that runs some code with these modules in reach."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, **options.pop("env", {}), "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, text=True, **options)
