"""A real Ray cluster on one machine for tests: each of its nodes is a raylet with processes of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from starts import children

MEMORY = 100 * 2**20  # bytes of a node's object store
QUICK = {  # Ray's own: a dead node is missed after some 13 seconds, here after one
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}


class Cluster:
    """Its head is one of its nodes, and never dies."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster as Inner

        self._node = {"object_store_memory": MEMORY, "include_log_monitor": False, "temp_dir": str(folder)}
        head = {**self._node, "num_cpus": 1, "include_dashboard": False, "_system_config": QUICK}
        self._inner = Inner(initialize_head=True, head_node_args=head)
        self._nodes: dict[str, Any] = {}

    @property
    def address(self) -> str:
        return str(self._inner.address)

    def add(self, *, cpus: int = 1, gpus: int = 0) -> str:
        """One more node, whose GPUs need not exist; returns Ray's name of it."""
        node = self._inner.add_node(**self._node, num_cpus=cpus, num_gpus=gpus)
        self._nodes[node.node_id] = node
        return str(node.node_id)

    def kill(self, name: str) -> None:
        """A node dies at once with all that runs on it."""
        (raylet,) = self._nodes.pop(name).all_processes["raylet"]
        for pid in (raylet.process.pid, *children(raylet.process.pid)):
            os.kill(pid, signal.SIGKILL)
        raylet.process.wait()

    def close(self) -> None:
        self._inner.shutdown()


@contextmanager
def ray_cluster(**environment: str) -> Iterator[Cluster]:
    """A cluster of one node, whose slots can import what lies beside the tests, and have this environment."""
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder,
    ):
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for name, value in environment.items():
            patch.setenv(name, value)
        # Without what only a dashboard needs, as `pip install ray` does: a node starts in half the time.
        patch.setattr("ray._private.utils.get_dashboard_dependency_error", lambda: ImportError())
        Path("/tmp/ray").mkdir(exist_ok=True)  # where Ray notes a cluster's address, whatever folder it was given
        cluster = Cluster(Path(folder))
        try:
            yield cluster
        finally:
            cluster.close()
