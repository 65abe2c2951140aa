"""Networks: the right shapes, starts that the papers promise, counts by hand, and refusals before any training."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from small_networks import CIFAR10, PROXY, SMALL, each_network
from torch import Tensor, nn
from torch.nn import functional as F

from search.candidate import Architecture, CandidateError, Cnn, Fast, from_values
from search.data.store import Store
from search.description import ImageShape
from search.networks.blocks import FrozenScaleNorm, NetworkError, PartialIdentity, Whitening, output_side
from search.networks.build import build
from search.networks.count import cost
from search.training.train import fit_to


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@each_network
@pytest.mark.parametrize("classes", [10, 3])
def test_one_row_of_logits_for_each_image(architecture: Architecture, classes: int, images: Tensor) -> None:
    network = build(architecture, images=ImageShape(32, 3, classes), seed=0).eval()
    before = weights_of(network)
    logits = network(images[:7])
    assert logits.shape == (7, classes)
    assert torch.isfinite(logits).all()
    assert torch.allclose(network(images[2:3]), logits[2:3], atol=1e-5), "an image's answer depends on its neighbours"
    assert torch.equal(network(images[:7]), logits)
    assert equal(weights_of(network), before), "evaluation changes the network"


@each_network
def test_training_starts_at_the_loss_of_a_guess_and_gradients_reach_every_trainable_weight_and_no_other(
    architecture: Architecture, images: Tensor, data: Store
) -> None:
    network = build(architecture, images=CIFAR10, seed=0)
    fit_to(network, data)
    loss = F.cross_entropy(network(images), data.training.labels)
    assert loss.item() == pytest.approx(math.log(10), abs=0.3)
    loss.backward()
    assert any(weights.requires_grad for weights in network.parameters())
    for name, weights in network.named_parameters():
        assert (weights.grad is not None) == weights.requires_grad, name
        if weights.grad is not None:
            assert bool(weights.grad.abs().max() > 0), name


@each_network
def test_the_seed_alone_decides_the_weights(architecture: Architecture) -> None:
    torch.manual_seed(1)
    first = weights_of(build(architecture, images=CIFAR10, seed=7))
    expected = torch.rand(3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.rand(3), expected), "building a network moved the global generator"
    assert equal(first, weights_of(build(architecture, images=CIFAR10, seed=7)))
    assert not equal(first, weights_of(build(architecture, images=CIFAR10, seed=8)))


def test_the_stem_whitens_the_images_that_it_was_fitted_on(images: Tensor) -> None:
    stem = Whitening(3)
    stem.fit(images)
    answers = stem(images)
    assert answers.shape == (200, 24, 31, 31)
    rows = answers[:, :12].transpose(0, 1).flatten(1).double()
    second_moment = rows @ rows.T / rows.shape[1]
    assert torch.allclose(second_moment, torch.eye(12, dtype=torch.float64), atol=0.01)
    assert torch.equal(answers[:, 12:], -answers[:, :12])
    stem.fit(torch.ones(4, 3, 32, 32))
    assert float(stem.weight.abs().max()) < 50, "images without a spread"


def test_the_stem_and_the_scales_of_norms_are_frozen_and_nothing_else_is() -> None:
    network = build(PROXY, images=CIFAR10, seed=0)
    frozen = {name for name, weights in network.named_parameters() if not weights.requires_grad}
    scales = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, FrozenScaleNorm)}
    assert len(scales) == 6
    assert frozen == {"stem.weight"} | scales
    assert all(weights.requires_grad for weights in build(Cnn(), images=CIFAR10, seed=0).parameters())


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 5), (5, 3), (4, 4)])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_partial_identity_passes_its_input_on(inputs: int, outputs: int, kernel: int) -> None:
    layer = PartialIdentity(inputs, outputs, kernel=kernel)
    given = torch.randn(2, inputs, 6, 6, generator=torch.Generator().manual_seed(0))
    answers = layer(given)
    shared = min(inputs, outputs)
    assert answers.shape == (2, outputs, 6, 6)
    assert torch.equal(answers[:, :shared], given[:, :shared])
    assert bool((layer.weight[shared:] != 0).all()), "the other filters start at random"


def test_a_stem_that_does_not_whiten_has_the_same_shape_is_trained_and_is_not_fitted(data: Store) -> None:
    whitening, plain = (build(Fast(whitening=on), images=CIFAR10, seed=0) for on in (True, False))
    before, shapes = weights_of(plain), [part.shape for part in whitening.state_dict().values()]
    assert [part.shape for part in before.values()] == shapes
    for network in (whitening, plain):
        fit_to(network, data)
    assert equal(before, weights_of(plain))
    stems = [network.get_submodule("stem").get_parameter("weight") for network in (whitening, plain)]
    assert [stem.requires_grad for stem in stems] == [False, True]
    assert stems[1].std().item() == pytest.approx(1 / math.sqrt(3 * 12), rel=0.1)  # torch's: uniform, 1/sqrt(inputs)


def test_without_partial_identity_every_filter_starts_at_random() -> None:
    identity, plain = (build(Fast(partial_identity=on), images=CIFAR10, seed=0) for on in (True, False))
    for name, layer in plain.get_submodule("stages").named_modules():
        if isinstance(layer, nn.Conv2d):
            assert bool((layer.weight != 0).all()), name
            drawn = identity.get_submodule(f"stages.{name}").get_parameter("weight")
            assert drawn.shape == layer.weight.shape
            assert bool((drawn == 0).any()), name


def test_a_residual_stage_adds_its_pooled_activation() -> None:
    plain, added = (
        build(
            Fast(stages=1, width=(4,), depth=(2,), kernel=(3,), activation="relu", residual=residual),
            images=CIFAR10,
            seed=0,
        )
        for residual in (False, True)
    )
    assert equal(weights_of(plain), weights_of(added))
    pixels = torch.randn(2, 24, 31, 31, generator=torch.Generator().manual_seed(0))
    stage, stage_added = plain.get_submodule("stages.0"), added.get_submodule("stages.0")
    start = stage.get_submodule("first")(pixels)
    expected = F.relu(start + stage.get_submodule("rest")(start))
    assert torch.allclose(stage_added(pixels), expected, atol=1e-6)
    assert not torch.allclose(stage(pixels), expected, atol=1e-2)


def test_a_filter_larger_than_its_picture_is_refused_with_the_arithmetic() -> None:
    impossible = Cnn(stages=3, width=(4, 4, 4), kernel=7, padding="valid")  # 32 -> 26 -> 13 -> 7 -> 3 -> nothing
    for refuse in (partial(cost, images=CIFAR10), partial(build, images=CIFAR10, seed=0)):
        with pytest.raises(NetworkError) as caught:
            refuse(impossible)
        assert str(caught.value).startswith("convolution 1 of stage 3: a kernel of 7 is larger than its input of 3")
        assert "(W - F + 2P)/S + 1 = (3 - 7 + 2*0)/1 + 1 = -3" in str(caught.value)
        assert "use fewer stages, a smaller kernel or padding" in str(caught.value)


def test_pooling_that_leaves_nothing_is_refused() -> None:
    cost(Cnn(stages=5, width=(2,) * 5), images=CIFAR10)  # 32 -> 1
    with pytest.raises(NetworkError, match="pooling of stage 6: a kernel of 2 is larger than its input of 1"):
        cost(Cnn(stages=6, width=(2,) * 6), images=CIFAR10)


@pytest.mark.parametrize(
    ("side", "kernel", "padding", "stride"), [(32, 2, 0, 1), (5, 5, 0, 1), (7, 2, 0, 2), (3, 7, 2, 3)]
)
def test_the_side_of_an_output_is_that_of_torch(side: int, kernel: int, padding: int, stride: int) -> None:
    pixels = nn.Conv2d(1, 1, kernel, padding=padding, stride=stride)(torch.zeros(1, 1, side, side))
    assert output_side(side, kernel=kernel, padding=padding, stride=stride, layer="") == pixels.shape[-1]


def test_the_fast_family_ends_at_four_stages() -> None:
    network = build(SMALL["fast, four stages"], images=CIFAR10, seed=0).eval()
    pixels, sides = torch.zeros(1, 24, 31, 31), []
    for stage in network.get_submodule("stages").children():
        pixels = stage(pixels)
        sides.append(pixels.shape[-1])
    assert sides == [15, 7, 3, 1]
    widths = {f"architecture.{name}.{n}": 1 for name in ("width", "depth", "kernel") for n in range(1, 6)}
    with pytest.raises(CandidateError, match="stages: must be at most 4, not 5"):
        from_values({"architecture.family": "fast", "architecture.stages": 5, **widths})


def test_an_even_filter_needs_valid_padding() -> None:
    with pytest.raises(ValueError, match="take an odd one, or padding valid"):
        Cnn(stages=1, width=(2,), kernel=4, hidden_layers=0)

    build(Cnn(stages=1, width=(2,), kernel=4, padding="valid", hidden_layers=0), images=CIFAR10, seed=0)
