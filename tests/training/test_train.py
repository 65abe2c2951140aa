"""Training: it learns, ends where it says, repeats bit for bit, and owns up to a loss that is no number."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_networks import CIFAR10
from torch import Tensor, nn
from torch.nn import functional as F

from search.augmentation.batch import Augmentation
from search.candidate import OPTIMIZERS, Architecture, Cnn, Fast, Recipe
from search.data import synthetic
from search.data.images import Images
from search.data.split import stratified
from search.data.store import SHARES, Store, normalise, store
from search.networks.blocks import Whitening
from search.networks.build import build
from search.networks.cnn import CnnNetwork
from search.training import train as training
from search.training.averaging import Averaging
from search.training.evaluate import Evaluation, evaluate
from search.training.precision import Precision
from search.training.result import EpochResult
from search.training.train import DivergedError, Training, class_weights, train

CNN: Architecture = Cnn(stages=2, width=(4, 8), pool=3, hidden_layers=0, dropout=0.1)
FAST: Architecture = Fast(stages=2, width=(4, 8), depth=(1, 1), kernel=(3, 3), dropout=0.1)
PLAIN = Recipe(batch_size=50, flip="none", translate=0, label_smoothing=0.0, averaging=False)
EVERYTHING = Recipe(batch_size=50, mixup=0.4, cutmix=1.0, cutout=4, rotation=10.0, brightness=0.1)


def data_of(count: int, *, validation: int) -> Store:
    images = synthetic.training(count)
    return store(images, split=stratified(images.labels, validation=validation, seed=0), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def small() -> Store:
    """200 images to train on, 100 to validate."""
    return data_of(300, validation=100)


def begun(
    architecture: Architecture, recipe: Recipe, data: Store, *, epochs: int = 2, seed: int = 0, **other: Any
) -> Training:
    options = {"weights": seed, "precision": "float32"} | other
    network = build(architecture, images=CIFAR10, seed=options.pop("weights"))
    return Training(network, recipe=recipe, store=data, epochs=epochs, seed=seed, **options)


def trained(*given: Any, **options: Any) -> tuple[nn.Module, list[EpochResult]]:
    run = begun(*given, **options)
    return run.network, [result for result in train(run) if result is not None]


def equal(one: nn.Module, two: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), two.state_dict().values()))


def test_two_epochs_learn_the_generated_images_well_above_chance() -> None:
    _, results = trained(CNN, Recipe(batch_size=50), data_of(2000, validation=400))
    assert results[-1].train_loss < results[0].train_loss < math.log(10)
    assert results[-1].validation_accuracy is not None
    assert results[-1].validation_accuracy > 0.6


def test_a_result_after_each_epoch_and_the_schedule_ends_with_the_last(small: Store) -> None:
    network, results = trained(CNN, Recipe(batch_size=30), small, epochs=3)
    assert [(result.epoch, result.epochs) for result in results] == [(1, 3), (2, 3), (3, 3)]
    assert results[0].learning_rate > results[1].learning_rate > results[2].learning_rate == 0
    assert all(0 <= result.train_accuracy <= 1 and result.seconds > 0 for result in results)
    counts = {int(module.num_batches_tracked) for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
    assert counts == {18}, "six whole batches of thirty in each epoch; twenty images wait for the next shuffle"


def test_an_early_look_is_a_glance_at_each_class(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Images] = []
    monkeypatch.setattr(training, "evaluate", lambda *given, **of: looks.append(given[1]) or evaluate(*given, **of))
    monkeypatch.setattr(training, "GLANCE", 20)
    _ = trained(CNN, PLAIN, small, epochs=4, validated=(1, 2)), trained(CNN, PLAIN, small)
    assert [len(images) for images in looks] == [20, 20, 100, 100, 100], "where no epoch is named, all judge each"
    assert looks[0].labels.unique().tolist() == list(range(10))


def test_epochs_of_a_part_take_every_image_once_a_round_and_are_validated_where_it_was_asked(
    small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, Tensor]] = []
    batch = Augmentation.batch

    def watched(self: Augmentation, index: Tensor, **options: Any) -> Any:
        taken.append((options["epoch"], index.clone()))
        return batch(self, index, **options)

    monkeypatch.setattr(Augmentation, "batch", watched)
    _, results = trained(CNN, PLAIN, small, epochs=6, epoch_images=100, validated=(1, 3))
    assert [row.epoch for row in results if row.validation_accuracy is not None] == [1, 3, 6]
    rounds = [torch.cat([index for epoch, index in taken if epoch == number]) for number in range(3)]
    assert all(each.sort().values.equal(torch.arange(200)) for each in rounds), "flips alternate with the rounds"


@pytest.mark.parametrize("architecture", [CNN, FAST], ids=["cnn", "fast"])
def test_validation_is_of_the_network_as_it_is_handed_over(architecture: Architecture, small: Store) -> None:
    assert small.validation is not None
    recipe = Recipe(batch_size=60, mixup=0.5)  # three steps in an epoch: the average is not fresh at the end
    run = begun(architecture, recipe, small, epochs=3)
    for result in filter(None, train(run)):
        again = evaluate(run.network, small.validation, store=small, precision="float32")
        assert (result.validation_accuracy, result.validation_loss) == (again.accuracy, again.loss)


@pytest.mark.parametrize("architecture", [CNN, FAST], ids=["cnn", "fast"])
def test_a_streamed_training_has_the_same_numbers(
    architecture: Architecture, small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHARES, "cpu", 1e-9)
    streamed = data_of(300, validation=100)
    assert streamed.training.rows is not None
    (network, results), (other, others) = (trained(architecture, EVERYTHING, data) for data in (small, streamed))
    assert equal(network, other)
    assert [replace(result, seconds=0) for result in results] == [replace(result, seconds=0) for result in others]


def test_the_validation_images_have_no_influence(small: Store) -> None:
    assert small.validation is not None
    other = Images(small.validation.pixels.flip(0), small.validation.labels.roll(3), small.validation.classes)
    network, results = trained(FAST, EVERYTHING, small)
    for store_ in (replace(small, validation=other), replace(small, validation=None)):
        again, others = trained(FAST, EVERYTHING, store_)
        assert equal(network, again)
        assert others[-1].train_loss == results[-1].train_loss
    assert others[-1].validation_accuracy is others[-1].validation_loss is None


def test_training_leaves_the_images_as_they_were(small: Store) -> None:
    before = small.training.pixels.clone()
    trained(CNN, EVERYTHING, small, epochs=1)
    assert torch.equal(small.training.pixels, before)


def test_the_first_step_is_that_of_a_bare_loop(small: Store) -> None:
    recipe = replace(PLAIN, batch_size=200, optimizer="sgd", momentum=0.0, weight_decay=0.0, warmup=0.0)
    architecture = replace(CNN, dropout=0.0)
    network, results = trained(architecture, recipe, small, epochs=1)
    bare = build(architecture, images=CIFAR10, seed=0)
    logits = bare(normalise(small.training.pixels, small.mean, small.std))
    loss = F.cross_entropy(logits, small.training.labels)
    loss.backward()  # type: ignore[no-untyped-call]
    rate = recipe.learning_rate * 200 / 1024 / 2  # momentum 0 enlarges a step by 1 + 1
    assert results[0].train_loss == pytest.approx(loss.item(), rel=1e-5)
    assert results[0].train_accuracy == pytest.approx(float((logits.argmax(1) == small.training.labels).float().mean()))
    for after, before in zip(network.parameters(), bare.parameters(), strict=True):
        assert before.grad is not None
        assert torch.allclose(after, before - rate * before.grad, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", [CNN, FAST], ids=["cnn", "fast"])
def test_the_same_seed_gives_the_same_weights_bit_for_bit_whatever_ran_before(
    architecture: Architecture, precision: Precision, small: Store
) -> None:
    one, first = trained(architecture, EVERYTHING, small, seed=5, precision=precision)
    other, _ = trained(architecture, EVERYTHING, small, seed=6, precision=precision)
    torch.rand(7)  # a caller that draws from the global generator
    two, second = trained(architecture, EVERYTHING, small, seed=5, precision=precision)
    assert equal(one, two)
    assert not equal(one, other)
    assert [replace(result, seconds=0) for result in first] == [replace(result, seconds=0) for result in second]
    assert {tensor.dtype for tensor in one.parameters()} == {torch.float32}


def test_the_seed_of_training_counts_even_with_equal_first_weights(small: Store) -> None:
    networks = [trained(FAST, PLAIN, small, epochs=1, seed=seed, weights=0)[0] for seed in (0, 1)]
    assert not equal(*networks)


def test_the_stem_is_fitted_to_the_training_images_and_stays(small: Store) -> None:
    network, _ = trained(FAST, Recipe(batch_size=50, weight_decay=1.0), small)
    expected = Whitening(3)
    expected.fit(normalise(small.training.pixels, small.mean, small.std))
    assert torch.equal(network.get_submodule("stem").weight, expected.weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_learns_at_the_default_learning_rate(name: str, small: Store) -> None:
    _, results = trained(CNN, replace(PLAIN, batch_size=20, optimizer=name), small, epochs=3)
    assert results[-1].train_loss < 0.9 * results[0].train_loss


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_trains_without_momentum(name: str, small: Store) -> None:
    network, _ = trained(FAST, replace(PLAIN, optimizer=name, momentum=0.0, schedule="one_cycle"), small)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values())


def test_a_batch_larger_than_the_training_part_is_all_of_it(small: Store) -> None:
    network, _ = trained(CNN, replace(PLAIN, batch_size=4096), small)
    assert int(network.get_buffer("features.1.num_batches_tracked")) == 2


@pytest.mark.parametrize("layer", ["features.0.weight", "head.1.weight"])
def test_l1_makes_the_weights_sparser(layer: str, small: Store) -> None:
    def tiny(l1: float) -> float:
        """Share of the weights below a twentieth of the largest."""
        network, _ = trained(CNN, replace(PLAIN, batch_size=20, l1=l1, weight_decay=0.0), small)
        sizes = network.get_parameter(layer).detach().abs()
        return float((sizes < 0.05 * sizes.max()).float().mean())

    assert tiny(0.05) > 2 * tiny(0.0)


def test_clipping_bounds_the_gradient_of_all_weights_with_that_of_l1(small: Store) -> None:
    for clip in (0.0, 0.01):
        run = begun(CNN, replace(PLAIN, clip=clip, l1=0.5), small)
        next(train(run))
        norms = [weights.grad.norm() for weights in run.network.parameters() if weights.grad is not None]
        total = float(torch.stack(norms).norm())
        assert total == pytest.approx(0.01, rel=1e-3) if clip else total > 0.5


def test_while_the_head_goes_first_the_backbone_does_not_change(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def backbone(network: nn.Module) -> list[nn.Parameter]:
        return list(network.get_submodule("features").parameters())

    monkeypatch.setattr(CnnNetwork, "backbone_blocks", lambda cnn: [cnn.features], raising=False)
    recipe = Recipe(batch_size=50, head_first=0.5, backbone_scale=0.1, weight_decay=1.0, l1=0.01, clip=1.0)
    run = begun(CNN, recipe, small, epochs=4)  # 16 steps, with averages after the 5th and the 10th
    first = [weights.clone() for weights in backbone(run.network)]
    head = run.network.get_parameter("head.1.weight").clone()
    steps = (result for result in train(run) if result is None)
    for step in range(1, 17):
        next(steps)
        resting = all(map(torch.equal, first, backbone(run.network)))
        assert resting == (step <= 8), step
        assert (backbone(run.network)[0] in run.optimizer.state) != resting, "no momentum is built up"
    assert not torch.equal(run.network.get_parameter("head.1.weight"), head)


def test_a_plateau_of_the_training_loss_lowers_the_learning_rate(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(PLAIN, schedule="plateau", warmup=0.0, patience=0, drop=0.1)
    monkeypatch.setattr(training, "cross_entropy", lambda logits, *_, **__: logits.sum() * 0 + 2.0)
    found = [result.learning_rate for result in trained(CNN, recipe, small, epochs=4)[1]]
    assert [rate / found[0] for rate in found] == pytest.approx([1, 0.1, 0.01, 0.001])


def test_an_absurd_learning_rate_is_said_to_diverge(small: Store) -> None:
    bare = Cnn(stages=1, width=(4,), pool=4, batch_norm=False, hidden=(8,))
    recipe = Recipe(batch_size=10, decoupled=False, learning_rate=1000.0)
    with pytest.raises(DivergedError, match=r"the training loss is (nan|inf) in epoch 1"):
        trained(bare, recipe, small, epochs=2)


def test_after_training_the_network_is_the_average(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Averaging] = []

    class Watched(Averaging):
        def __init__(self, network: nn.Module, *, steps: int) -> None:
            super().__init__(network, steps=steps)
            made.append(self)

    monkeypatch.setattr(training, "Averaging", Watched)
    network, _ = trained(FAST, Recipe(batch_size=60), small, epochs=4)  # twelve steps, the last average after the last
    floating = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    assert all(map(torch.equal, floating, made[0].average))
    bare, _ = trained(FAST, Recipe(batch_size=60, averaging=False), small, epochs=4)
    assert not equal(network, bare)


def test_a_training_of_fewer_steps_than_an_average_waits_for_still_trains(small: Store) -> None:
    network, _ = trained(CNN, Recipe(batch_size=100), small, epochs=2)
    weights = [built.get_parameter("features.0.weight") for built in (network, build(CNN, images=CIFAR10, seed=0))]
    assert not torch.equal(*weights)


def test_a_network_that_breaks_in_its_last_step_has_diverged(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Evaluation:
        return Evaluation(correct=10, n=100, loss=float("nan"), balanced_accuracy=0.1)

    monkeypatch.setattr(training, "evaluate", broken)
    with pytest.raises(DivergedError, match="validation loss is nan after epoch 1"):
        trained(CNN, Recipe(batch_size=100), small, epochs=1)


def test_class_weights_let_every_class_count_alike(small: Store) -> None:
    few = small.training.take(
        torch.cat([torch.nonzero(small.training.labels == label)[: label + 1, 0] for label in range(10)])
    )
    counts, weights = few.labels.bincount(), class_weights(few, power=1.0)
    assert torch.allclose(weights * counts, torch.full((10,), len(few) / 10))
    assert float(class_weights(few, power=0.5)[few.labels].mean()) == pytest.approx(1)
    recipe = replace(PLAIN, batch_size=len(few), class_weights=1.0)
    _, results = trained(replace(CNN, dropout=0.0), recipe, replace(small, training=few), epochs=1)
    logits = build(replace(CNN, dropout=0.0), images=CIFAR10, seed=0)(normalise(few.pixels, small.mean, small.std))
    of_class = [F.cross_entropy(logits[few.labels == label], few.labels[few.labels == label]) for label in range(10)]
    assert results[0].train_loss == pytest.approx(torch.stack(of_class).mean().item(), rel=1e-5)
