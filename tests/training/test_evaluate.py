"""Evaluation: counted image by image, repeatable, without a trace on the network."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from small_networks import CIFAR10
from torch import nn

from search.candidate import Cnn, Fast
from search.data import synthetic
from search.data.images import Images
from search.data.split import stratified
from search.data.store import Store, normalise, store
from search.networks.build import build
from search.training.evaluate import BATCH, SIX_VIEWS, evaluate, logits
from search.training.precision import Precision, best_precision

CNN = Cnn(stages=2, width=(4, 6), pool=4, hidden_layers=0, dropout=0.5)
FAST = Fast(stages=2, width=(4, 6), depth=(1, 1), kernel=(3, 3), dropout=0.5)


@pytest.fixture(scope="module")
def data() -> Store:
    images = synthetic.training(BATCH + 200)
    return store(images, split=stratified(images.labels, validation=BATCH + 90, seed=0), device=torch.device("cpu"))


def validation(data: Store) -> Images:
    assert data.validation is not None
    return data.validation


@pytest.mark.parametrize("architecture", [CNN, FAST], ids=["cnn", "fast"])
def test_accuracy_and_loss_are_those_of_a_count_by_hand(architecture: Cnn | Fast, data: Store) -> None:
    network, images = build(architecture, images=CIFAR10, seed=3), validation(data)
    found = evaluate(network, images, store=data, precision="float32")
    correct, loss = 0, 0.0
    network.eval()
    for pixels, label in zip(images.pixels, images.labels.tolist(), strict=True):
        with torch.no_grad():
            answer = network(normalise(pixels[None], data.mean, data.std))[0].double()
        correct += int(answer.argmax()) == label
        loss -= math.log(float(answer.softmax(0)[label]))
    assert len(images) % BATCH, "the last batch must be a small one, which a mean over batches would favour"
    assert (found.correct, found.n) == (correct, len(images))
    assert found.accuracy == correct / len(images)
    assert found.loss == pytest.approx(loss / len(images), rel=1e-5)


def test_in_the_balanced_accuracy_each_class_that_is_there_counts_alike(data: Store) -> None:
    shown, network = validation(data), build(CNN, images=CIFAR10, seed=3)
    some = torch.cat([torch.nonzero(shown.labels == label).flatten()[: 3 * label] for label in range(10)])  # no 0
    images = shown.take(some)
    found = evaluate(network, images, store=data, precision="float32")
    right = logits(network, images, mean=data.mean, std=data.std, precision="float32").argmax(1) == images.labels
    recalls = [float(right[images.labels == label].double().mean()) for label in range(1, 10)]
    assert found.balanced_accuracy == pytest.approx(sum(recalls) / 9)
    assert found.balanced_accuracy != pytest.approx(found.accuracy)
    whole = evaluate(network, shown, store=data, precision="float32")  # all classes are of one size
    assert whole.balanced_accuracy == pytest.approx(whole.accuracy)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("training", [True, False])
def test_evaluating_leaves_no_trace_and_is_not_random(training: bool, precision: Precision, data: Store) -> None:
    network = build(FAST, images=CIFAR10, seed=0).train(training)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(1)
    one = evaluate(network, validation(data), store=data, precision=precision)
    torch.manual_seed(2)
    two = evaluate(network, validation(data), store=data, precision=precision)
    assert one == two
    assert all(module.training is training for module in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(weights.grad is None for weights in network.parameters())


def test_logits_depend_on_the_statistics_and_in_half_precision_are_nearly_the_same(data: Store) -> None:
    ask = partial(logits, build(CNN, images=CIFAR10, seed=0), validation(data), std=data.std)
    exact, half = (ask(mean=data.mean, precision=precision) for precision in ("float32", "bfloat16"))
    assert exact.shape == (len(validation(data)), 10)
    assert exact.dtype == half.dtype == torch.float32
    assert not torch.equal(exact, half)
    assert torch.allclose(exact, half, atol=0.05)
    assert not torch.allclose(exact, ask(mean=data.mean + 60, precision="float32"), atol=1e-2)


def test_six_views_are_weighted_as_the_airbench_line_does(data: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.training.evaluate.BATCH", 20)
    network, images = build(FAST, images=CIFAR10, seed=0).eval(), validation(data).take(torch.arange(50))
    ask = partial(logits, network, images, mean=data.mean, std=data.std, precision="float32")
    found = ask(views=SIX_VIEWS)
    padded = nn.functional.pad(normalise(images.pixels, data.mean, data.std), (1, 1, 1, 1), mode="reflect")
    expected = torch.zeros(len(images), 10)
    for corner, weight in ((1, 0.5), (0, 0.25), (2, 0.25)):  # of the window, in the padded image
        window = padded[:, :, corner : corner + 32, corner : corner + 32]
        with torch.no_grad():
            expected += weight * (network(window) + network(window.flip(3))) / 2
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, ask(), atol=1e-3)


def test_views_are_seen_batch_by_batch_and_their_weights_add_up_to_one(data: Store) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen.append(len(images))
            return torch.full((len(images), 10), 1.0, dtype=torch.bfloat16)

    network = Counting()
    found = logits(network, validation(data), mean=data.mean, std=data.std, precision="float32", views=SIX_VIEWS)
    assert network.seen == [BATCH] * 6 + [90] * 6
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.ones(590, 10))


def test_the_best_precision_of_a_cpu_is_the_one_that_it_multiplies_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, expected in (({}, "float32"), ({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert best_precision(torch.device("cpu")) == expected
    assert best_precision(torch.device("mps")) == "float32"
