"""The loss of a batch, by its definition: smoothed, mixed, and with classes that count more."""

from __future__ import annotations

import math

import pytest
import torch

from search.augmentation.batch import Targets
from search.training.train import cross_entropy

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]])


def surprise(row: int, label: int, smoothing: float = 0.0) -> float:
    """Cross entropy of one row of LOGITS, by its definition."""
    exponentials = [math.exp(logit) for logit in LOGITS[row].tolist()]
    losses = [-math.log(share / sum(exponentials)) for share in exponentials]
    return (1 - smoothing) * losses[label] + smoothing * sum(losses) / len(losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_mixed_images_weighs_both_labels(smoothing: float) -> None:
    targets = Targets(torch.tensor([0, 2]), torch.tensor([1, 0]), torch.tensor([0.75, 0.1]))
    first = 0.75 * surprise(0, 0, smoothing) + 0.25 * surprise(0, 1, smoothing)
    second = 0.1 * surprise(1, 2, smoothing) + 0.9 * surprise(1, 0, smoothing)
    loss = cross_entropy(LOGITS, targets, smoothing=smoothing)
    assert float(loss) == pytest.approx((first + second) / 2)
    alone = cross_entropy(LOGITS, Targets(targets.labels), smoothing=smoothing)
    assert float(alone) == pytest.approx((surprise(0, 0, smoothing) + surprise(1, 2, smoothing)) / 2)
    whole = Targets(targets.labels, targets.other, torch.ones(2))
    assert float(cross_entropy(LOGITS, whole, smoothing=smoothing)) == pytest.approx(float(alone))


def test_a_weight_counts_each_label_of_an_image() -> None:
    targets, weights = Targets(torch.tensor([0, 2]), torch.tensor([1, 0]), torch.tensor([0.75, 0.1])), LOGITS.new_tensor
    first = 0.75 * 0.5 * surprise(0, 0, 0.2) + 0.25 * 3 * surprise(0, 1, 0.2)
    second = 0.1 * 2 * surprise(1, 2, 0.2) + 0.9 * 0.5 * surprise(1, 0, 0.2)
    loss = cross_entropy(LOGITS, targets, smoothing=0.2, weights=weights([0.5, 3.0, 2.0]))
    assert float(loss) == pytest.approx((first + second) / 2)
