"""The network of an architecture."""

from __future__ import annotations

import torch
from torch import nn

from search.candidate import Architecture, Cnn, Fast
from search.networks.cnn import CnnNetwork
from search.networks.fast import FastNetwork


def build(architecture: Architecture, *, classes: int = 10, seed: int, device: torch.device | str = "cpu") -> nn.Module:
    """A fresh network with weights drawn from the seed. Raises NetworkError where the architecture is impossible."""
    with torch.random.fork_rng(devices=[]):  # torch's layers draw their weights from the global generator only
        torch.manual_seed(seed)
        network: nn.Module
        match architecture:
            case Fast():
                network = FastNetwork(architecture, classes=classes)
            case Cnn():
                network = CnnNetwork(architecture, classes=classes)
    return network.to(memory_format=torch.channels_last).to(device)
