"""Smaller pictures: seen in the first part of a training only, and refused before one where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from search.candidate import FAMILIES, Architecture, Candidate, Cell, Cnn, Fast, Mlp, Recipe, Residual, Value
from search.data import synthetic
from search.data.split import stratified
from search.data.store import Store, store
from search.networks.blocks import NetworkError
from search.networks.build import build
from search.planning.catalogue import load
from search.planning.feasibility import examine
from search.training.resolution import check_resolution, shrunk
from search.training.train import Training, begin, train

FAST: Architecture = Fast(stages=2, width=(4, 8), depth=(1, 1), kernel=(3, 3))
SIDES = (8, 9, 12, 16, 17, 18, 30, 31, 32)


@pytest.fixture(scope="module")
def small() -> Store:
    """90 images to train on, 40 to validate."""
    images = synthetic.training(130)
    return store(images, split=stratified(images.labels, validation=40, seed=0), device=torch.device("cpu"))


def begun(recipe: Recipe, data: Store) -> Training:
    return begin(build(FAST, seed=0), recipe=recipe, store=data, epochs=2, seed=0, precision="float32")


def problem(architecture: Architecture, recipe: Recipe) -> str:
    with pytest.raises(NetworkError) as caught:
        check_resolution(Candidate(architecture=architecture, recipe=recipe))
    return str(caught.value)


@pytest.mark.parametrize(("until", "small_steps"), [(0.5, 4), (0.3, 3), (0.0, 0)])
def test_the_first_part_sees_small_pictures_and_the_rest_whole_ones(
    until: float, small_steps: int, small: Store
) -> None:
    run, seen = begun(Recipe(batch_size=20, resolution=16, resolution_until=until), small), list[int]()

    def note(network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert inputs[0].is_contiguous(memory_format=torch.channels_last)
        if network.training:
            seen.append(inputs[0].shape[-1])
        else:
            assert inputs[0].shape[-1] == 32, "what is validated is the network's answer to whole pictures"

    run.network.register_forward_pre_hook(note)
    list(train(run))
    assert seen == [16] * small_steps + [32] * (8 - small_steps)


def test_a_proxy_sees_the_pictures_that_the_network_sees(small: Store) -> None:
    run, seen = begun(Recipe(batch_size=10, keep=0.5, resolution=16), small), list[int]()
    assert run.filter is not None
    choose = run.filter.choose

    def noted(images: Tensor, *others: object) -> Tensor:
        seen.append(images.shape[-1])
        return choose(images, *others)  # type: ignore[arg-type]

    run.filter.choose = noted  # type: ignore[assignment, method-assign]
    list(train(run))
    assert seen == [16] * 4 + [32] * 4


def test_a_smaller_picture_is_the_mean_of_what_it_covers() -> None:
    columns = torch.tensor([0.0, 1.0, 1.0, 0.0] * 8).expand(2, 3, 32, 32)
    smaller = shrunk(columns.contiguous(memory_format=torch.channels_last), side=8)
    assert smaller.shape == (2, 3, 8, 8)
    assert torch.allclose(smaller[..., 1:-1], torch.tensor(0.5), atol=0.13), "no two middle columns stand for all four"
    assert torch.allclose(shrunk(torch.full((1, 3, 32, 32), 7.0), side=13), torch.tensor(7.0))


@pytest.mark.parametrize(
    "architecture",
    [
        FAST,
        Fast(width=(4, 4, 4)),
        Fast(stages=4, width=(4,) * 4),
        Residual(stem=4, width=(4, 4, 4), depth=1),
        Residual(stages=4, stem=4, width=(4,) * 4, depth=1, shortcut=3, pre_activation=True, squeeze_excite=True),
        Cell(width=4, cells=1),
        Mlp(hidden=(4, 4)),
        Cnn(width=(4, 4, 4), hidden=(4,)),
    ],
    ids=["fast 2", "fast 3", "fast 4", "residual", "residual 4", "cell", "mlp", "cnn"],
)
def test_what_is_refused_is_what_the_network_cannot_take(architecture: Architecture) -> None:
    network = build(architecture, seed=0, device="meta").eval()

    def takes(side: int) -> bool:
        try:
            network(torch.empty(2, 3, side, side, device="meta"))
        except RuntimeError:
            return False
        return True

    def allowed(side: int) -> bool:
        try:
            check_resolution(Candidate(architecture=architecture, recipe=Recipe(resolution=side)))
        except NetworkError:
            return False
        return True

    assert {side for side in SIDES if allowed(side)} == {side for side in SIDES if takes(side)}


def test_the_refusal_names_the_families_that_take_smaller_pictures() -> None:
    for family in ("cnn", "mlp", "transfer"):
        said = problem(FAMILIES[family](), Recipe(resolution=16))
        assert said.startswith("recipe.resolution 16: ")
        assert "one of the families fast, residual and cell" in said
    assert "take a multiple of 4" in problem(Cell(), Recipe(resolution=30))
    assert "pooling of stage 4: a kernel of 2 is larger than its input of 1" in problem(
        Fast(stages=4, width=4), Recipe(resolution=16)
    )
    assert "pooling of stage 3" in problem(Residual(), Recipe(resolution=8, keep=0.5)), "the proxy cannot take them"
    check_resolution(Candidate(architecture=Mlp(), recipe=Recipe(resolution=16, resolution_until=0.0)))


def test_a_space_learns_of_pictures_that_are_too_small_before_any_training() -> None:
    values: Mapping[str, Value] = {"architecture.family": "mlp", "recipe.resolution": 16}
    found = examine(load("mlp"), values)
    assert found.candidate is None
    assert found.problem.startswith("recipe.resolution 16: the linear layers of family mlp take 32 x 32 pixels only")
