"""A cluster that cannot be reached is named, with the reason and the next step; its room for slots is counted."""

from __future__ import annotations

import re
import socket
import sys
import time
from types import SimpleNamespace

import pytest

from search.cluster import connection
from search.cluster.connection import ClusterError, SlotResources, connected
from search.errors import UsageError

pytestmark = pytest.mark.ray


@pytest.fixture(autouse=True)
def _not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest.importorskip("ray"), "is_initialized", lambda: False)


@pytest.mark.parametrize("address", ["127.0.0.1:{closed}", "nowhere.invalid:6379", "nonsense", "ray://127.0.0.1:10001"])
def test_a_cluster_that_does_not_answer_is_named(address: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = address.format(closed=free.getsockname()[1])
        start = time.monotonic()

        with pytest.raises(ClusterError, match=re.escape(place)), connected(place):
            pass

    assert time.monotonic() - start < 30


def test_a_server_that_is_no_ray_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 0.5)
    with socket.create_server(("0.0.0.0", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(ClusterError, match=f"no Ray cluster answers at {place} .timed out"), connected(place):
            pass


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(ClusterError, match=r"pip install 'cifar-search\[ray\]'"), connected(None):
        pass


def test_a_ray_without_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.__version__", "2.51.2")

    with pytest.raises(ClusterError, match=r"2.52 or newer, .* not 2.51.2"), connected(None):
        pass


@pytest.mark.parametrize(
    ("address", "mode", "warned"),
    [("10.0.0.7:6379", "", True), ("10.0.0.7:6379", "token", False), ("127.0.0.1:6379", "", False)],
)
def test_a_warning_says_that_others_can_reach_the_cluster(
    address: str, mode: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    ray = SimpleNamespace(get_runtime_context=lambda: SimpleNamespace(gcs_address=address))

    notes = " ".join(connection.security_notes(ray))

    assert (f"{address} runs the code of whoever reaches it; RAY_AUTH_MODE=token" in notes) == warned == bool(notes)


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
        SlotResources(cpus=cpus, gpus=gpus).slots(ray) for cpus, gpus in [(1, 0), (2, 0), (1, 0.1), (1, 0.5), (1, 1)]
    ]

    assert counts == [6, 2, 5, 4, 2]
