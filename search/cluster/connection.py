"""The connection to a Ray cluster, and how much room it has for slots."""

import logging
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch

from search.errors import UsageError, one_line
from search.slots.machine import Machine
from search.slots.signals import stop_flag
from search.slots.slot_state import SlotError
from search.text import plural
from search.training.precision import Precision, best_precision

OLDEST = (2, 52)  # older ones have no tokens: whoever reached such a cluster could run code on it (CVE-2023-48022)
CONNECT_TIMEOUT = 10.0  # seconds for the address to answer; Ray itself would try for two minutes
FIRST_GPU_TIMEOUT = 120.0  # seconds to wait for a GPU, to ask for its precision


class ClusterError(SlotError):
    """A Ray cluster that cannot be reached, or has no room for a slot."""


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected to HOST:PORT; an open connection is used and kept. Raises ClusterError.

    `local` starts Ray on this machine. None and `auto` use RAY_ADDRESS or the Ray that runs here, or else start it.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    address = None if address == "auto" else address  # for Ray itself, "auto" never starts one
    cluster = address or os.environ.get("RAY_ADDRESS")
    if cluster and cluster not in ("auto", "local"):
        _check_answers(cluster)
    try:
        # Ray's own handlers of signals would end the process at SIGTERM; its workers import from the current folder.
        with stop_flag() as flag, chdir("/"):
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises many types and explains itself only in the message
        hint = "is this machine a node of it, does it need RAY_AUTH_MODE=token, and does `ray start --head` work?"
        cause = f"{cluster or 'this machine'}: {one_line(error)}"
        raise ClusterError(f"Ray cannot be used at {cause}; {hint}") from error
    try:
        if flag.signal is not None:
            signal.raise_signal(flag.signal)
        yield ray
    finally:
        ray.shutdown()


def security_notes(ray: Any) -> tuple[str, ...]:
    """A warning about a cluster that others can reach and that asks for no token."""
    address = ray.get_runtime_context().gcs_address
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "token" or address.startswith(("127.", "localhost:", "[::1]:")):
        return ()
    return (f"the Ray cluster at {address} runs the code of whoever reaches it; RAY_AUTH_MODE=token keeps others out",)


def last_line(error: Exception) -> str:
    """The last line of Ray's long messages says the cause."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()


def _import_ray() -> Any:
    # Ray reads these when it is imported: no usage reports, and no output of its nodes amid our display.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError:
        raise ClusterError("--ray needs Ray, which is not installed; pip install 'cifar-search[ray]'") from None
    if tuple(map(int, re.findall(r"\d+", ray.__version__)[:2])) < OLDEST:
        rule = f"--ray needs Ray {OLDEST[0]}.{OLDEST[1]} or newer, which can ask for a token, not {ray.__version__}"
        raise ClusterError(f"{rule}; pip install 'cifar-search[ray]' on every node")
    return ray


def _check_answers(cluster: str) -> None:
    """Raise ClusterError if no server answers at HOST:PORT. Addresses of Ray Client (ray://) are refused too."""
    try:
        host, _, port = cluster.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT) as connection:
            if os.environ.get("RAY_USE_TLS") != "1":  # with TLS the server waits for the client to speak first
                connection.recv(1)
    except (OSError, ValueError) as error:
        hint = "name HOST:PORT as `ray start --head` prints it, or start Ray here with --ray local"
        raise ClusterError(f"no Ray cluster answers at {cluster} ({error}); {hint}") from None


@dataclass(frozen=True, kw_only=True)
class SlotResources:
    """What one slot needs; a share of a GPU lets several slots fit on it."""

    cpus: int = 1
    gpus: float = 0.0
    max_slots: int | None = None

    def __post_init__(self) -> None:
        if self.cpus < 1 or not 0 <= self.gpus <= 1:
            raise UsageError(f"a slot needs 1 CPU or more and a share of 0 to 1 GPU, not {self.cpus} and {self.gpus:g}")

    def __str__(self) -> str:
        return plural(self.cpus, "CPU") + (f" and {self.gpus:g} GPU" if self.gpus else "")

    def slots(self, ray: Any) -> int:
        """How many slots fit on the living nodes if nothing else runs there, but at most `max_slots`."""
        fits = [int(min(cpu / self.cpus, gpu / self.gpus + 1e-9 if self.gpus else cpu)) for cpu, gpu in _nodes(ray)]
        return min(sum(fits), self.max_slots or sum(fits))

    def machine(self, ray: Any) -> Machine:
        """The cluster described as one machine. Raises ClusterError if no node has room for a slot."""
        nodes, slots = _nodes(ray), self.slots(ray)
        if not slots:
            each = "; ".join(f"{cpus:g} CPUs, {gpus:g} GPUs" for cpus, gpus in nodes)
            raise ClusterError(f"a slot needs {self}, which no node has ({each}); ask for less, or add a node")
        return Machine(
            kind="cuda" if self.gpus else "cpu",
            name=f"Ray cluster of {plural(len(nodes), 'node')}",
            gpus=1 if self.gpus else 0,  # a slot sees one
            cores=int(sum(cpus for cpus, _ in nodes)),
            slots=slots,
            threads=self.cpus,
            precision=self.gpu_precision(ray) if self.gpus else best_precision(torch.device("cpu")),
        )

    def gpu_precision(self, ray: Any) -> Precision:
        """The best precision of the first GPU that Ray provides: this machine may have none. Raises ClusterError."""
        answer = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus)(best_precision).remote(torch.device("cuda"))
        try:
            return cast("Precision", ray.get(answer, timeout=FIRST_GPU_TIMEOUT))
        except ray.exceptions.RayError as error:
            raise ClusterError(f"no node lends {self}: {last_line(error)}; `ray status` shows who has them") from error


def _nodes(ray: Any) -> list[tuple[float, float]]:
    """The CPUs and GPUs of each living node."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(each.get("CPU", 0.0), each.get("GPU", 0.0)) for each in resources]
