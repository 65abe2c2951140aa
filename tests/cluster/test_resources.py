"""How many slots fit on the nodes of a cluster."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from search.cluster.resources import SlotResources
from search.errors import UsageError


@pytest.mark.parametrize(("cpus", "gpus"), [(0, 0.0), (1, -0.5), (1, 1.5)])
def test_an_absurd_need_is_refused(cpus: int, gpus: float) -> None:
    with pytest.raises(UsageError, match=r"1 CPU or more and a share of 0 to 1 GPU, not"):
        SlotResources(cpus=cpus, gpus=gpus)


def test_slots_are_counted_by_what_is_scarcer() -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 5.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    ray = SimpleNamespace(nodes=lambda: nodes)

    counts = [
        SlotResources(cpus=cpus, gpus=gpus).slots(ray, max_slots=None)
        for cpus, gpus in [(1, 0), (2, 0), (1, 0.1), (1, 0.5), (1, 1)]
    ]

    assert counts == [6, 2, 5, 4, 2]
