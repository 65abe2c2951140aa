"""Where a number comes from: seeds, hashes, versions, the machine, the code, the command."""

import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from search.data.sources import Source
from search.slots.machine import Machine
from search.training.compiling import Mode
from studies.history import TrialRecord
from studies.manifest import Manifest
from studies.storage import masked

PACKAGES = ("cifar-search", "torch", "torchvision", "optuna", "numpy")
SOURCE = Path(__file__).parents[2]  # of this program
GIT_PATIENCE = 10.0  # seconds

# What the numbers of a training may depend on beside its record; they are the same to the last bit where none differs.
CIRCUMSTANCES = (
    "cifar-search", "code", "torch", "torchvision", "numpy", "python", "platform", "cpu", "instruction sets", "device",
    "device name", "cuda", "cudnn", "threads", "precision", "compile",
)  # fmt: skip
INSTRUCTIONS = "instruction sets"
LIMITS = (  # variables by which torch, oneDNN, MKL and glibc compute with other instructions than the CPU has
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "DNNL_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "GLIBC_TUNABLES",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that was not then as it is now."""

    name: str
    then: str
    now: str


def provenance(machine: Machine, *, source: Source, manifest: Manifest, compile: Mode | None = None) -> dict[str, str]:
    """All that a number of a study depends on, as text by name; no password is in it."""
    return {
        **circumstances(machine, source=source),
        **({"compile": compile} if compile else {}),
        "data SHA-256": manifest.data_fingerprint,
        "split SHA-256": manifest.split_fingerprint,
        "space": f"{manifest.space_name}, SHA-256 {manifest.space_fingerprint}",
        "study seed": str(manifest.seed),
    }


def command_line() -> str:
    """The command of this process, as it may be shown."""
    return shlex.join([Path(sys.argv[0]).name, *map(masked, sys.argv[1:])])


def circumstances(machine: Machine, *, source: Source) -> dict[str, str]:
    """All that a number of this process depends on, whatever is trained."""
    cuda, limits = {}, [f"{name}={os.environ[name]}" for name in LIMITS if os.environ.get(name)]
    if machine.kind == "cuda":
        cudnn = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
        cuda = {"device name": machine.name, "cuda": str(torch.version.cuda), "cudnn": cudnn}
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "command": command_line(),
        "code": code_state(SOURCE),
        **{package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        INSTRUCTIONS: ", ".join([torch.backends.cpu.get_cpu_capability(), *limits]),
        "device": machine.kind,
        **cuda,
        "slots": str(machine.slots),
        "threads": str(machine.threads),
        "cores": str(machine.cores),
        "precision": machine.precision,
        "data": source.title,
    }


def code_state(folder: Path) -> str:
    """The commit that a source folder stands at, and whether it was changed since."""
    try:
        # Of a project that merely holds an installed copy, git would tell the commit of that project.
        _git(folder, "ls-files", "--error-unmatch", "search/__init__.py")
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", "search", "spaces", "studies")
    except (OSError, subprocess.SubprocessError):
        return "not a git checkout"
    return f"commit {commit}, changed since" if changed else f"commit {commit}"


def start_of(record: TrialRecord, *, starts: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    """The provenance of the start that asked for a trial last; empty where nothing is recorded."""
    return starts[record.start - 1] if record.start and record.start <= len(starts) else {}


def differences_of(
    record: TrialRecord, *, then: Mapping[str, str], now: Mapping[str, str], starts: Sequence[Mapping[str, str]]
) -> tuple[Difference, ...]:
    """What may change the numbers of a trial, and is not as it was."""
    differences = _differing(then, now)
    if record.attempts > 1 and any(_differing(then, start) for start in starts):
        several = f"{record.attempts}, while the study's starts differ"  # and only the last one is known
        differences.append(Difference(name="attempts", then=several, now="1"))
    return tuple(differences)


def _differing(then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    names = [name for name in CIRCUMSTANCES if then.get(name) != now.get(name)]
    if INSTRUCTIONS in names and INSTRUCTIONS not in then and "=" not in now.get(INSTRUCTIONS, ""):
        names.remove(INSTRUCTIONS)  # an older record, and this CPU without a limit: that excuses no other number
    return [Difference(name=name, then=then.get(name, "not recorded"), now=now.get(name, "none")) for name in names]


def _git(folder: Path, *words: str) -> str:
    # In a hook of git, its variables name another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(  # noqa: S603 - nothing of the list comes from outside
        ["git", "--no-optional-locks", "-C", str(folder), *words],  # noqa: S607 - wherever a person has it
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=GIT_PATIENCE,
        check=True,
    )
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
