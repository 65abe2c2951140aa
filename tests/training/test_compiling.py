"""A compiled network is the same network, and a machine that cannot compile says why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_networks import CIFAR10

from search.candidate import Fast
from search.networks.build import build
from search.training.compiling import compiled, obstacle

CPU = torch.device("cpu")
TINY = Fast(width=(8, 8, 8), depth=(1, 1, 1))


def test_a_compiled_network_keeps_the_names_of_its_weights() -> None:
    network, plain = build(TINY, images=CIFAR10, seed=0), build(TINY, images=CIFAR10, seed=0)
    names = list(network.state_dict())
    assert compiled(network, "default") is network
    assert network._compiled_call_impl is not None
    assert list(network.state_dict()) == names
    assert compiled(plain, None)._compiled_call_impl is None


def test_what_keeps_a_machine_from_compiling_is_said_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "take --compile default" in (obstacle("reduce-overhead", device=CPU) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "g++, which is not here; install it" in (obstacle("default", device=CPU) or "")
