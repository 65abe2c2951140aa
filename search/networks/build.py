"""The network of an architecture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from search.candidate import Architecture, Cell, Cnn, Fast, Mlp, Residual, Transfer
from search.networks.cell import CellNetwork
from search.networks.cnn import CnnNetwork
from search.networks.fast import FastNetwork
from search.networks.mlp import MlpNetwork
from search.networks.residual import ResidualNetwork
from search.networks.transfer import TransferNetwork


def build(architecture: Architecture, *, classes: int = 10, seed: int, device: torch.device | str = "cpu") -> nn.Module:
    """A fresh network with weights drawn from the seed. Raises NetworkError where the architecture is impossible.

    On the meta device nothing is read or downloaded; elsewhere a backbone's weights are, which may raise WeightsError.
    """
    if torch.device(device).type == "meta":
        with torch.device("meta"), _Undrawn():
            return _network(architecture, classes)
    # torch's layers draw their weights from the global generator only; drawn on the CPU, they are the same everywhere
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(architecture, classes)
    return network.to(memory_format=torch.channels_last).to(device)


class _Undrawn(TorchFunctionMode):
    """Leaves the numbers of new tensors alone: on the meta device there are none, and drawing takes half the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in DRAWING:
            return args[0] if args else kwargs["tensor"]
        if func in FILLED:
            return torch.empty(*args, **{**(kwargs or {}), "device": "meta"})
        return func(*args, **(kwargs or {}))


DRAWING = {nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_, nn.init.constant_}
DRAWING |= {Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_}
FILLED = {torch.ones, torch.zeros}


def _network(architecture: Architecture, classes: int) -> nn.Module:
    match architecture:
        case Fast():
            return FastNetwork(architecture, classes=classes)
        case Cnn():
            return CnnNetwork(architecture, classes=classes)
        case Residual():
            return ResidualNetwork(architecture, classes=classes)
        case Cell():
            return CellNetwork(architecture, classes=classes)
        case Mlp():
            return MlpNetwork(architecture, classes=classes)
        case Transfer():
            return TransferNetwork(architecture, classes=classes)
    raise AssertionError(f"family {architecture.family} has no network")
