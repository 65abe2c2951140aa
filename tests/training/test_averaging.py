"""The running average of the weights: free at first, and held on to near the end."""

from __future__ import annotations

import pytest
from torch import nn

from search.training.averaging import Averaging


@pytest.mark.parametrize(("steps", "last"), [(10, 0.95**5), (485, 0.95**5), (4850, 1 - (1 - 0.95**5) / 10)])
def test_the_average_follows_freely_at_first_and_holds_on_near_the_end(steps: int, last: float) -> None:
    network = nn.BatchNorm1d(1)
    averaging = Averaging(network, steps=steps)
    expected = 1.0  # both a learned weight and the running variance start there
    for progress, decay in ((0.0, 0.0), (0.5, last / 8), (1.0, last)):
        for tensor in (network.weight.data, network.running_var):
            assert tensor is not None
            tensor.add_(8)
        averaging.update(progress=progress)
        expected = decay * expected + (1 - decay) * (expected + 8)
        assert [network.weight.item(), network.get_buffer("running_var").item()] == pytest.approx([expected] * 2)
