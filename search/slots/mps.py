"""NVIDIA's MPS for one search: a control daemon of its own, through which the slots of a GPU run at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from search.slots.machine import DeviceError, Machine

PROGRAM = "nvidia-cuda-mps-control"  # a part of NVIDIA's driver
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"  # environment: where the daemon is met, and writes
PATIENCE = 30.0  # seconds for the daemon to start or to stop


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How slots that share a GPU reach the daemon."""

    pipes: Path | None  # for PIPES in a slot; None where its environment is right as it is
    note: str


@contextmanager
def sharing(machine: Machine, *, slots: int | None) -> Iterator[Sharing]:
    """MPS until the block ends; every slot of `slots` (None: as many as pay) must have ended by then.

    A daemon that the operator runs is used as it is. Raises DeviceError.
    """
    if not machine.gpus:
        raise DeviceError("--mps lets slots share a GPU, and there is none here; leave --mps out")
    if there := os.environ.get(PIPES):
        yield Sharing(pipes=None, note=f"slots share a GPU through the MPS daemon that runs already ({PIPES}={there})")
    elif slots is not None and slots <= machine.gpus:
        yield Sharing(pipes=None, note="MPS is not started: no two slots share a GPU (--slots auto finds how many pay)")
    else:
        with TemporaryDirectory(prefix="cifar-search-mps-") as place, _daemon(Path(place)):
            yield Sharing(pipes=Path(place), note="slots share a GPU through an MPS daemon of this search")


@contextmanager
def _daemon(place: Path) -> Iterator[None]:
    program = shutil.which(PROGRAM)
    if program is None:
        raise DeviceError(f"--mps needs {PROGRAM}, which comes with NVIDIA's driver; install it, or leave --mps out")
    # Of the GPUs that the daemon sees, its clients would count theirs: only one side may name them.
    unnamed = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment = {**unnamed, PIPES: str(place), LOGS: str(place)}
    try:
        _say(program, "-d", environment=environment)
    except (OSError, subprocess.SubprocessError) as error:
        raise DeviceError(f"{PROGRAM} does not start: {_reason(error)}; mend that, or leave --mps out") from error
    try:
        yield
    finally:
        try:
            _say(program, said="quit\n", environment=environment)
        except (OSError, subprocess.SubprocessError) as error:
            raise DeviceError(f"the MPS daemon does not stop: {_reason(error)}; end {PROGRAM} by hand") from error


def _say(program: str, *options: str, said: str = "", environment: dict[str, str]) -> None:
    # Files, not pipes: a daemon that keeps its output open would never let a pipe end.
    log = Path(environment[LOGS]) / "start.log"
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(  # noqa: S603 - the driver's own program
            [program, *options],
            input=said,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
            start_new_session=True,  # so that Ctrl-C reaches the search alone, which stops the daemon after the slots
        )
    if done.returncode:
        text = log.read_text(encoding="utf-8", errors="replace").strip()
        raise subprocess.SubprocessError(text or f"exit code {done.returncode}")


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {PATIENCE:g} seconds"
    return str(error)
