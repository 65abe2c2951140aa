"""The images that networks are tried on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from search.data import synthetic
from search.data.store import Store, normalise, store


@pytest.fixture(scope="session")
def data() -> Store:
    return store(synthetic.training(200), split=None, device=torch.device("cpu"))


@pytest.fixture(scope="session")
def images(data: Store) -> Tensor:
    """200 of them, normalised."""
    return normalise(data.training.pixels, data.mean, data.std)
