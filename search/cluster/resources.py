"""What a slot needs of the nodes of a Ray cluster, and how many slots fit on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from search.cluster.connection import ClusterError, last_line
from search.errors import UsageError
from search.slots.machine import Machine
from search.text import plural
from search.training.precision import Precision, best_precision

FIRST_GPU_TIMEOUT = 120.0  # seconds to wait for a GPU, to ask for its precision


@dataclass(frozen=True, kw_only=True)
class SlotResources:
    """What one slot needs; a share of a GPU lets several slots fit on it."""

    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus < 1 or not 0 <= self.gpus <= 1:
            raise UsageError(f"a slot needs 1 CPU or more and a share of 0 to 1 GPU, not {self.cpus} and {self.gpus:g}")

    def __str__(self) -> str:
        return plural(self.cpus, "CPU") + (f" and {self.gpus:g} GPU" if self.gpus else "")

    def slots(self, ray: Any, *, max_slots: int | None) -> int:
        """How many slots fit on the nodes that are alive if nothing else runs there, but at most `max_slots`."""
        need = {name: amount for name, amount in (("CPU", self.cpus), ("GPU", self.gpus)) if amount}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        count = sum(min(int(node.get(name, 0) / need[name] + 1e-9) for name in need) for node in nodes)
        return min(count, max_slots or count)


def cluster_machine(ray: Any, needed: SlotResources, *, max_slots: int | None) -> Machine:
    """The cluster described as one machine. Raises ClusterError if no node has room for a slot."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    having = [(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0)) for node in nodes]
    slots = needed.slots(ray, max_slots=max_slots)
    if not slots:
        each = "; ".join(f"{cpus:g} CPUs, {gpus:g} GPUs" for cpus, gpus in having)
        raise ClusterError(f"a slot needs {needed}, which no node has ({each}); ask for less, or add a node")
    return Machine(
        kind="cuda" if needed.gpus else "cpu",
        name=f"Ray cluster of {plural(len(nodes), 'node')}",
        gpus=1 if needed.gpus else 0,  # a slot sees one
        cores=int(sum(cpus for cpus, _ in having)),
        slots=slots,
        threads=needed.cpus,
        precision=_precision(ray, needed),
    )


def _precision(ray: Any, needed: SlotResources) -> Precision:
    """The best precision of the first GPU that Ray provides, since this machine may have none; or of this CPU."""
    if not needed.gpus:
        return best_precision(torch.device("cpu"))
    answer = ray.remote(num_cpus=needed.cpus, num_gpus=needed.gpus)(best_precision).remote(torch.device("cuda"))
    try:
        precision: Precision = ray.get(answer, timeout=FIRST_GPU_TIMEOUT)
    except ray.exceptions.RayError as error:
        raise ClusterError(f"no node lends {needed}: {last_line(error)}; `ray status` shows who has them") from error
    return precision
