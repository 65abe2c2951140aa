"""The blocks of the residual and the cell family."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from small_networks import CIFAR10
from torch import Tensor
from torch.nn import functional as F

from search.candidate import Cell, Residual
from search.networks.blocks import NetworkError
from search.networks.build import build
from search.networks.cell import EDGES, CellBlock, used
from search.networks.count import cost
from search.networks.residual import StochasticDepth


def test_squeeze_and_excitation_reduces_to_a_sixteenth_and_to_four_at_least() -> None:
    plain, weighed = (
        cost(Residual(stages=2, width=(32, 96), depth=1, squeeze_excite=on), images=CIFAR10).parameters
        for on in (False, True)
    )
    assert weighed - plain == (2 * 32 * 4 + 4 + 32) + (2 * 96 * 6 + 6 + 96)


def test_stochastic_depth_drops_whole_branches_of_single_images_and_keeps_their_mean() -> None:
    torch.manual_seed(0)
    drop, branch = StochasticDepth(0.25), torch.ones(4000, 2, 3, 3)
    dropped = drop.train()(branch)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(dropped, dropped[:, :1, :1, :1].expand_as(dropped)), "an image is dropped as a whole"
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(branch), branch)


def test_later_blocks_are_dropped_more_often() -> None:
    network = build(Residual(width=(4, 4, 4), depth=(2, 1, 1), stochastic_depth=0.4), images=CIFAR10, seed=0)
    shares = [module.share for module in network.modules() if isinstance(module, StochasticDepth)]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_block_adds_its_input_where_nothing_changes_shape(images: Tensor) -> None:
    network = build(Residual(stages=1, stem=4, width=(4,), depth=1, pre_activation=True), images=CIFAR10, seed=0).eval()
    block = network.get_submodule("blocks.0")
    given = images[:2, :1].expand(-1, 4, -1, -1)
    branch = block.get_submodule("branch")(F.relu(given / math.sqrt(1 + 1e-5)))
    assert torch.allclose(block(given), given + branch, atol=1e-5)


def test_a_shortcut_takes_every_second_pixel_where_the_picture_is_halved() -> None:
    network = build(Residual(stages=2, stem=4, width=(4, 6), depth=1), images=CIFAR10, seed=0).eval()
    shortcut = network.get_submodule("blocks.1.shortcut")
    given = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    halved = F.conv2d(given, shortcut.get_parameter("1.weight"), stride=2) / math.sqrt(1 + 1e-5)
    assert torch.allclose(shortcut(given), halved, atol=1e-5)


def test_a_cell_sums_what_its_edges_bring() -> None:
    edges = ("nor_conv_1x1", "skip_connect", "avg_pool_3x3", "none", "skip_connect", "nor_conv_3x3")
    torch.manual_seed(0)
    cell, given = CellBlock(edges, 4).eval(), torch.randn(2, 4, 8, 8)
    first, _, pool, _, last = cell.operations
    one = first(given)
    two = given + pool(one)
    assert torch.allclose(cell(given), one + last(two))
    assert torch.allclose(pool(torch.ones(1, 4, 8, 8)), torch.ones(1, 4, 8, 8)), "the border counts in no mean"


def test_a_cell_builds_the_edges_on_a_way_and_no_others() -> None:
    names = ("none", "skip_connect")
    ways = [((0, 3),), ((0, 1), (1, 3)), ((0, 2), (2, 3)), ((0, 1), (1, 2), (2, 3))]
    for operations in product(names, repeat=6):
        there = {edge for edge, operation in zip(EDGES, operations, strict=True) if operation != "none"}
        expected = {edge for way in ways if there.issuperset(way) for edge in way}
        if expected:
            assert set(used(operations)) == expected
        else:
            with pytest.raises(NetworkError, match="no way leads from node 0 of the cell to node 3"):
                used(operations)


def test_a_cell_without_a_way_is_refused_with_the_ways_and_the_edges() -> None:
    cut = Cell(edge=("nor_conv_3x3", "none", "none", "none", "none", "nor_conv_3x3"))
    with pytest.raises(NetworkError) as caught:
        cost(cut, images=CIFAR10)
    for named in (
        "0>1>2>3 (edge.1, edge.3, edge.6)",
        ", ".join(cut.edge),
        "give the edges of one way other operations",
    ):
        assert named in str(caught.value)
