"""A cluster that cannot be reached is named, with the reason and the next step."""

from __future__ import annotations

import re
import socket
import sys
import time
from types import SimpleNamespace

import pytest

from search.cluster import connection
from search.cluster.connection import ClusterError, connected

pytestmark = pytest.mark.ray


@pytest.mark.parametrize("address", ["127.0.0.1:{closed}", "nowhere.invalid:6379", "nonsense", "ray://127.0.0.1:10001"])
def test_a_cluster_that_does_not_answer_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = address.format(closed=free.getsockname()[1])
        start = time.monotonic()

        with pytest.raises(ClusterError, match=re.escape(place)), connected(place):
            pass

    assert time.monotonic() - start < 30


def test_a_server_that_is_no_ray_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
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
    pytest.importorskip("ray")
    monkeypatch.setattr("ray.__version__", "2.51.2")

    with pytest.raises(ClusterError, match=r"2.52 or newer, .* not 2.51.2"), connected(None):
        pass


@pytest.mark.parametrize(
    ("address", "mode", "told"),
    [("10.0.0.7:6379", "", True), ("10.0.0.7:6379", "token", False), ("127.0.0.1:6379", "", False)],
)
def test_a_cluster_for_everybody_is_told(address: str, mode: str, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    ray = SimpleNamespace(get_runtime_context=lambda: SimpleNamespace(gcs_address=address))

    said = " ".join(connection.security_notes(ray))

    assert (f"{address} runs the code of whoever reaches it; RAY_AUTH_MODE=token" in said) == told == bool(said)
