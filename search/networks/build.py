"""The network of an architecture."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from search.candidate import Architecture, Cell, Cnn, Fast, Mlp, Residual, Transfer
from search.description import ImageShape
from search.networks.cell import CellNetwork
from search.networks.cnn import CnnNetwork
from search.networks.fast import FastNetwork
from search.networks.mlp import MlpNetwork
from search.networks.origin import content, origin
from search.networks.residual import ResidualNetwork
from search.networks.transfer import TransferNetwork
from search.networks.weights import NONE, fetch, file_of

NETWORKS: dict[type[Architecture], Callable[..., nn.Module]] = {
    Fast: FastNetwork,
    Cnn: CnnNetwork,
    Residual: ResidualNetwork,
    Cell: CellNetwork,
    Mlp: MlpNetwork,
    Transfer: lambda *of, **options: TransferNetwork(*of, network_of=_network, **options),
}
"""For each family of architectures, its network: `Network(architecture, images=shape)`."""


def _network(architecture: Architecture, *, images: ImageShape) -> nn.Module:
    return NETWORKS[type(architecture)](architecture, images=images)


WEIGHTS_FIELDS = ("backbone", "weights")  # of an architecture that has them: they decide which weights it starts from


def build(
    architecture: Architecture, *, images: ImageShape, seed: int, device: torch.device | str = "cpu"
) -> nn.Module:
    """A fresh network with weights drawn from the seed. Raises NetworkError where the architecture is impossible.

    On the meta device nothing is read or downloaded; elsewhere a backbone's weights are, which may raise WeightsError.
    """
    if torch.device(device).type == "meta":
        with torch.device("meta"), _Undrawn():
            return _network(architecture, images=images)
    # torch's layers draw their weights from the global generator only; drawn on the CPU, they are the same everywhere
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(architecture, images=images)
    return network.to(memory_format=torch.channels_last).to(device)


def fetch_weights(architecture: Architecture, *, download: bool = True) -> None:
    """Make sure that the weights which a network starts from are on this machine. Raises WeightsError."""
    if isinstance(architecture, Transfer):
        fetch(architecture.backbone, architecture.weights, download=download)
        if architecture.backbone == "own":
            content(file := Path(architecture.weights), origin(file))


def weights_sha256(architecture: Architecture) -> str | None:
    """SHA-256 of the file that a network starts from, of ours of the JSON, which has it; None without one."""
    if not isinstance(architecture, Transfer) or architecture.weights == NONE:
        return None
    file = file_of(architecture.backbone, architecture.weights)
    file = file.with_suffix(".json") if architecture.backbone == "own" else file
    return hashlib.sha256(file.read_bytes()).hexdigest()


class _Undrawn(TorchFunctionMode):
    """Leaves the numbers of new tensors alone: on the meta device there are none, and drawing takes half the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


DRAWING = {nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_, nn.init.constant_}
DRAWING |= {Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_}
