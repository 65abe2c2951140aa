"""Reaches a Ray cluster, or says what keeps it from being reached."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from search.errors import UserError
from search.slots.machine import Machine
from search.slots.signals import STOPPING
from search.training.precision import Precision, best_precision

OLDEST = (2, 52)  # before it whoever reached a cluster could run code on it: it has no tokens (CVE-2023-48022)
KNOCK = 10.0  # seconds for an answer at an address; Ray itself would try for two minutes
LENDING = 120.0  # seconds for the first GPU


class ClusterError(UserError):
    """A Ray cluster that cannot be reached, or has no place for a slot."""

    exit_code = 6


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a slot takes of a node."""

    cpus: int = 1
    gpus: float = 0.0  # a share, so that several slots fit on one

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise ClusterError(f"a slot needs at least 1 CPU, not {self.cpus}")
        if not 0 <= self.gpus <= 1:
            raise ClusterError(f"--gpus-per-slot is a share of one GPU from 0 to 1, not {self.gpus:g}")

    def __str__(self) -> str:
        cpus = f"{self.cpus} CPU{'s' * (self.cpus > 1)}"
        return f"{cpus} and {'a whole' if self.gpus == 1 else f'{self.gpus:g} of a'} GPU" if self.gpus else cpus


@dataclass(frozen=True, kw_only=True)
class Node:
    """A machine of the cluster that is alive."""

    name: str  # Ray's
    host: str
    cpus: float
    gpus: float

    def places(self, need: Need) -> int:
        """How many slots find room on it while nothing else does."""
        by_cpus = int(self.cpus / need.cpus)
        return min(by_cpus, int(self.gpus / need.gpus + 1e-9)) if need.gpus else by_cpus


def nodes(ray: Any) -> list[Node]:
    """Those that are alive."""
    return [
        Node(
            name=node["NodeID"],
            host=node["NodeManagerHostname"],
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def places(ray: Any, need: Need) -> int:
    """How many slots find room on the nodes that are alive."""
    return sum(node.places(need) for node in nodes(ray))


def survey(ray: Any, *, need: Need, most: int | None) -> Machine:
    """The cluster as if it were one machine, with room for at most so many slots. Raises ClusterError."""
    found, room = nodes(ray), places(ray, need)
    if not room:
        there = "; ".join(f"{node.host}: {node.cpus:g} CPUs, {node.gpus:g} GPUs" for node in found)
        raise ClusterError(f"a slot needs {need}, which no node has ({there}); ask for less, or add a node")
    return Machine(
        kind="cuda" if need.gpus else "cpu",
        name=f"Ray cluster of {len(found)} node{'s' * (len(found) > 1)}",
        gpus=1 if need.gpus else 0,  # that a slot sees
        cores=int(sum(node.cpus for node in found)),
        slots=min(room, most or room),
        threads=need.cpus,
        precision=_precision(ray, need),
    )


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray itself, connected to `address`, and at the end no longer; a connection that is there already is kept.

    `local` starts Ray on this machine; so does None, unless RAY_ADDRESS or a Ray that runs here says where to go.
    Raises ClusterError.
    """
    ray = _imported()
    if ray.is_initialized():
        yield ray
        return
    place = _place(address)
    try:
        with _signals_kept():
            ray.init(
                # Where Ray finds the address itself, it also knows whether the cluster wants a token.
                address=address if address not in (None, "auto") else "auto" if place else "local",
                include_dashboard=None if place else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # of whatever kind: Ray says what is wrong in the message alone
        said = " ".join(str(error).split())
        if place is None:
            raise ClusterError(f"Ray cannot be started here: {said}; `ray start --head` may say more") from error
        hint = "is this machine one of its nodes, and does it need RAY_AUTH_MODE=token?"
        raise ClusterError(f"the Ray at {place} cannot be used: {said}; {hint}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def notes(ray: Any) -> tuple[str, ...]:
    """What a person should know of the cluster before it is used."""
    place = ray.get_runtime_context().gcs_address
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "token" or _is_loopback(place.rpartition(":")[0]):
        return ()
    return (f"the Ray cluster at {place} runs the code of whoever reaches it; RAY_AUTH_MODE=token keeps others out",)


def _precision(ray: Any, need: Need) -> Precision:
    """That of this machine's CPU or, as it may have no GPU, of the first one that Ray lends."""
    if not need.gpus:
        return best_precision(torch.device("cpu"))
    asked = ray.remote(num_cpus=need.cpus, num_gpus=need.gpus)(best_precision).remote(torch.device("cuda"))
    try:
        found: Precision = ray.get(asked, timeout=LENDING)
    except ray.exceptions.RayError as error:
        raise ClusterError(f"no node lends {need}: {last_line(error)}; `ray status` shows who has them") from error
    return found


def last_line(error: Exception) -> str:
    """The gist of Ray's long messages."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()


def _imported() -> Any:
    # They are read when ray is imported: no call home, and no messages of its nodes amid our display.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError:
        raise ClusterError("--ray needs Ray, which is not installed; pip install 'cifar-search[ray]'") from None
    version = tuple(map(int, re.findall(r"\d+", ray.__version__)[:2]))
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ClusterError(
            f"--ray needs Ray {oldest} or newer, which can ask for a token, not {ray.__version__}; "
            "pip install 'cifar-search[ray]' on every node"
        )
    return ray


def _place(address: str | None) -> str | None:
    """Host and port of a cluster that answers; None where there is none and one is to be started."""
    from ray._private.services import canonicalize_bootstrap_address

    address = None if address == "auto" else address
    named = address or os.environ.get("RAY_ADDRESS") or "the address of the last Ray on this machine"
    if "://" in named:
        raise ClusterError(f"--ray takes HOST:PORT, not {named}; run on a machine of the cluster, without Ray Client")
    try:
        place: str | None = canonicalize_bootstrap_address(address)
        if place is not None:
            host, _, port = place.rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK) as line:
                if os.environ.get("RAY_USE_TLS") != "1":  # with it, it would wait for us to speak first
                    line.recv(1)
    except (OSError, ValueError) as error:
        hint = "name HOST:PORT as `ray start --head` prints it, or start Ray here with --ray local"
        raise ClusterError(f"no Ray cluster answers at {named} ({error}); {hint}") from None
    return place


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray ends the process at a SIGTERM; ours puts the trials back first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
