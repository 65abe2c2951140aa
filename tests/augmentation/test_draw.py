"""Random numbers for a batch."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import beta

from search.augmentation.draw import BatchDraw


def draw(count: int) -> BatchDraw:
    return BatchDraw(torch.Generator().manual_seed(1), torch.device("cpu"), count)


@pytest.mark.parametrize("shape", [0.05, 0.4, 1.0, 2.5, 10.0])
def test_mixing_weights_follow_the_beta_distribution(shape: float) -> None:
    drawn = draw(20_000).beta(shape)
    assert 0 <= drawn.min() < drawn.max() <= 1
    for point in (0.001, 0.05, 0.3, 0.5, 0.8, 0.99):
        assert float((drawn <= point).float().mean()) == pytest.approx(beta.cdf(point, shape, shape), abs=0.014)  # 4 sd


def test_numbers_around_a_centre_fill_its_reach_and_a_reach_of_nothing_leaves_the_generator_alone() -> None:
    numbers = draw(5)
    before = numbers.generator.get_state()
    assert torch.equal(numbers.around(1, 0, 2), torch.ones(2, 5))
    assert torch.equal(numbers.generator.get_state(), before)
    drawn = draw(1000).around(1, 0.5)
    assert 0.5 <= drawn.min() < 0.51
    assert 1.49 < drawn.max() <= 1.5
