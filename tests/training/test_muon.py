"""Muon: what is turned and by how much, what SGD takes, and what is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from search.training.muon import Muon, orthogonal, orthogonal_filters


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_orthogonal_matrices_have_the_directions_of_the_given_ones() -> None:
    matrices = [drawn(8, 40), drawn(40, 8, seed=1), drawn(16, 16, seed=2), drawn(8, 9, seed=3)]
    larger = orthogonal([1000 * each for each in matrices])
    for given, found, enlarged in zip(matrices, orthogonal(matrices), larger, strict=True):
        assert found.shape == given.shape
        assert found.dtype == torch.float32
        left, sizes, right = torch.linalg.svd(given, full_matrices=False)
        turned = left.mT @ found @ right.mT
        values = turned.diagonal()
        assert torch.allclose(turned, torch.diag(values), atol=1e-4), "the singular vectors stay"
        strong = sizes > 0.2 * sizes[0]
        assert bool(((values > 0.4) & (values < 1.4))[strong].all())
        assert torch.allclose(enlarged, found, atol=1e-4), "the size does not matter"
    assert torch.equal(orthogonal([torch.zeros(3, 4)])[0], torch.zeros(3, 4)), "no division by zero"


def test_filters_are_turned_one_by_one_whatever_their_layout_in_memory() -> None:
    given = [drawn(4, 3, 3, 3), drawn(6, 4, 1, 1, seed=1), drawn(4, 3, 3, 3, seed=2)]
    expected = [orthogonal([each.flatten(1)])[0].view_as(each) for each in given]
    for layout in (torch.contiguous_format, torch.channels_last):
        found = orthogonal_filters([each.contiguous(memory_format=layout) for each in given])
        assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(found, expected, strict=True))


def stepped(make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], steps: int = 4) -> list[Tensor]:
    """Two weights after some steps along gradients that depend on them."""
    weights = [nn.Parameter(drawn(4, 3)), nn.Parameter(drawn(5))]
    optimise = make(weights)
    for _ in range(steps):
        for each in weights:
            each.grad = each.detach().sin() + 0.1
        optimise.step()
    return [each.detach() for each in weights]


@pytest.mark.parametrize("momentum", [0.0, 0.85])
def test_weights_that_are_no_filters_take_the_steps_of_torchs_sgd(momentum: float) -> None:
    ours = stepped(lambda weights: Muon([{"params": weights}], lr=0.1, momentum=momentum))
    theirs = stepped(lambda weights: SGD(weights, lr=0.1, momentum=momentum, nesterov=momentum > 0))
    assert all(torch.allclose(one, two) for one, two in zip(ours, theirs, strict=True))


def test_their_decay_is_apart_from_the_gradient() -> None:
    weights = nn.Parameter(torch.full((2, 2), 3.0))
    optimise = Muon([{"params": [weights], "weight_decay": 0.5}], lr=0.1, momentum=0.9)
    for _ in range(2):
        weights.grad = torch.zeros(2, 2)
        optimise.step()
    assert torch.allclose(weights, torch.full((2, 2), 3.0 * 0.95**2))


@pytest.mark.parametrize("size", [0.01, 1.0, 50.0])
def test_a_step_is_relative_to_the_norm_and_the_norm_is_kept(size: float) -> None:
    filters = nn.Parameter(size * drawn(4, 3, 3, 3))
    norm = float(filters.detach().norm())
    optimise = Muon([{"params": [filters], "filters": True, "weight_decay": 0.5}], lr=0.1, momentum=0.6)
    for seed in range(5):
        filters.grad = drawn(4, 3, 3, 3, seed=seed + 1)
        before = filters.detach() * (norm / filters.detach().norm())
        optimise.step()
        moved = float((filters.detach() - before).norm()) / norm
        assert moved == pytest.approx(0.1, rel=0.3), "four singular values of about 1, over the root of four outputs"
    assert float(filters.detach().norm()) == pytest.approx(norm, rel=0.1)


def test_what_has_no_gradient_stays_and_builds_up_no_momentum() -> None:
    resting, filters = nn.Parameter(drawn(4)), nn.Parameter(drawn(4, 3, 3, 3))
    before = [each.detach().clone() for each in (resting, filters)]
    groups = [{"params": [filters], "filters": True}, {"params": [resting], "weight_decay": 0.5}]
    optimise = Muon(groups, lr=0.1, momentum=0.6)
    optimise.step()
    assert all(map(torch.equal, before, (resting, filters)))
    assert not optimise.state
