"""Connects to a Ray cluster, or says why that is impossible."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.errors import UserError
from search.slots.signals import stop_flag

OLDEST = (2, 52)  # older ones have no tokens: whoever reached such a cluster could run code on it (CVE-2023-48022)
CONNECT_TIMEOUT = 10.0  # seconds for the address to answer; Ray itself would try for two minutes


class ClusterError(UserError):
    """A Ray cluster that cannot be reached, or has no room for a slot."""

    exit_code = 6


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected to HOST:PORT in the `with` block; an open connection is used and kept.

    `local` starts Ray on this machine. None and `auto` use RAY_ADDRESS or the Ray that runs here, or else start it.
    Raises ClusterError.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    cluster = _find_cluster(address)
    try:
        with stop_flag() as flag:  # it also keeps our signal handlers: Ray's own would end the process at SIGTERM
            ray.init(
                # With "auto" Ray finds the same address again, and uses the token of this machine if there is one.
                address=address if address not in (None, "auto") else "auto" if cluster else "local",
                include_dashboard=None if cluster else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # Ray raises many types and explains itself only in the message
        problem, hint = "Ray cannot be started here", "`ray start --head` may say more"
        if cluster:
            problem = f"the Ray at {cluster} cannot be used"
            hint = "is this machine one of its nodes, and does it need RAY_AUTH_MODE=token?"
        raise ClusterError(f"{problem}: {' '.join(str(error).split())}; {hint}") from error
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
        raise ClusterError(
            f"--ray needs Ray {'.'.join(map(str, OLDEST))} or newer, which can ask for a token, not {ray.__version__}; "
            "pip install 'cifar-search[ray]' on every node"
        )
    return ray


def _find_cluster(address: str | None) -> str | None:
    """HOST:PORT of a cluster that answers, found as `ray.init` documents it; None if Ray is to be started here."""
    noted = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray/ray_current_cluster"
    candidates = address, os.environ.get("RAY_ADDRESS"), noted.read_text().strip() if noted.exists() else None
    cluster = next((candidate for candidate in candidates if candidate and candidate != "auto"), "local")
    if cluster == "local":
        return None
    if "://" in cluster:
        raise ClusterError(f"--ray takes HOST:PORT, not {cluster}; run on a machine of the cluster, without Ray Client")
    try:
        host, _, port = cluster.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT) as connection:
            if os.environ.get("RAY_USE_TLS") != "1":  # with TLS the server waits for the client to speak first
                connection.recv(1)
    except (OSError, ValueError) as error:
        hint = "name HOST:PORT as `ray start --head` prints it, or start Ray here with --ray local"
        raise ClusterError(f"no Ray cluster answers at {cluster} ({error}); {hint}") from None
    return cluster
