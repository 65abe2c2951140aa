"""Where things are in larger photos: with a classifier that knows plain squares, and with a trained one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from scenes import BACKGROUNDS, Planted, judged, scene
from torch import Tensor, nn

from search.candidate import from_values
from search.data import cifar10, split, synthetic
from search.data.images import Images
from search.data.store import store
from search.deciding.calibration import Calibration, calibrate
from search.description import CIFAR10, ImageShape
from search.errors import DataError
from search.networks.build import build
from search.pictures.decode import PictureError
from search.planning.catalogue import load
from search.shipping.locate import find
from search.shipping.model import Model
from search.slots.machine import survey
from search.training.evaluate import logits
from search.training.train import Training, train

COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


class Squares(nn.Module):
    """Knows plain squares: its logit is how much of the image has the colour of the class."""

    def forward(self, images: Tensor) -> Tensor:
        colours = torch.tensor(list(COLOURS.values()))[:, None, :, None, None] / 1.0
        return 12 * ((images - colours[:, :, : images.shape[1]]).abs().amax(2) < 40).float().mean((2, 3)).T


def squares(*, side: int = 32, channels: int = 3) -> Model:
    return Model(
        path=Path("squares.safetensors"),
        network=Squares(),
        classes=tuple(COLOURS),
        shape=ImageShape(side, channels, len(COLOURS)),
        mean=torch.zeros(channels),
        std=torch.ones(channels),
        calibration=Calibration(temperature=1, known=6),
        machine=replace(survey("cpu", slots=1), precision="float32"),
    )


def photo(*planted: Planted, size: tuple[int, int] = (256, 256)) -> Image.Image:
    made = Image.new("RGB", size, "grey")
    for label, corners in planted:
        made.paste(COLOURS[label], corners)
    return made


@pytest.mark.parametrize(
    ("size", "planted"),
    [
        ((256, 256), [("red", (20, 30, 52, 62)), ("blue", (100, 150, 148, 198)), ("red", (160, 20, 232, 92))]),
        ((1200, 900), [("white", (100, 200, 300, 400)), ("blue", (700, 300, 1000, 600))]),  # in the photo's pixels
        ((40, 300), [("blue", (3, 200, 37, 234))]),
        ((32, 32), [("red", (0, 0, 32, 32))]),  # as small as one window
        ((11, 11), [("blue", (0, 0, 11, 11))]),  # or smaller
    ],
)
def test_squares_are_found_where_they_are(
    size: tuple[int, int], planted: list[tuple[str, tuple[int, int, int, int]]]
) -> None:
    known = [Planted(*each) for each in planted]
    boxes, _ = find(photo(*known, size=size), squares())
    assert judged(boxes, known) == (len(known), 0)
    assert min(box.confidence for box in boxes) > 0.99


def test_the_evidence_is_strongest_where_the_square_is() -> None:
    _, heat = find(photo(Planted("red", (160, 20, 192, 52))), squares())
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    assert heat.shape == (256, 256)
    assert abs(row - 36) < 6
    assert abs(column - 176) < 6


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.usefixtures("images")
def test_nothing_is_found_where_nothing_is(background: str) -> None:
    empty, _ = scene(synthetic.training(), background=background, seed=0, objects=0)
    boxes, heat = find(empty, squares())
    assert boxes == ()
    assert float(heat.max()) < 1


def test_grey_images_of_another_side() -> None:
    known = Planted("blue", (40, 60, 68, 88))
    boxes, _ = find(photo(known).convert("L"), squares(side=28, channels=1))
    assert judged(boxes, [known]) == (1, 0)


def test_a_line_is_no_photo_and_a_model_without_a_calibration_no_help() -> None:
    with pytest.raises(PictureError, match="9,000 x 2 pixels are too narrow"):
        find(photo(size=(9000, 2)), squares())
    with pytest.raises(DataError, match="make it again: cifar-search best --retrain"):
        find(photo(), replace(squares(), calibration=None))


@pytest.fixture(scope="module")
def trained() -> tuple[Model, Images]:
    """A network that never saw the validation images, as a confirmation leaves it, and those images."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    images = cifar10.load_training(cifar10.find(Path(os.environ["CIFAR_SEARCH_DATA"]), download=False))
    parts, machine = split.stratified(images.labels, validation=5000, seed=0), survey("cpu", slots=1)
    data = store(images, split=parts, device=machine.device)
    assert data.validation is not None
    candidate = from_values(load("fast").baselines[0].values)
    network = build(candidate.architecture, images=CIFAR10, seed=0)
    precision = machine.precision
    training = Training(network, recipe=candidate.recipe, store=data, epochs=16, seed=0, precision=precision)
    *_, last = filter(None, train(training))
    model = Model(
        path=Path("weights.safetensors"),
        network=network.eval(),
        classes=images.classes,
        shape=CIFAR10,
        mean=data.mean,
        std=data.std,
        calibration=None,
        machine=machine,
    )
    answers = logits(network, data.validation, mean=data.mean, std=data.std, precision=precision)
    calibration = calibrate(answers, data.validation.labels)
    print(f"validation accuracy {last.validation_accuracy}, {calibration}")
    return replace(model, calibration=calibration), data.validation


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.timeout(3600)
@pytest.mark.skipif("CIFAR_SEARCH_DATA" not in os.environ, reason="needs CIFAR-10: set CIFAR_SEARCH_DATA")
@pytest.mark.parametrize(("scales", "most_false"), [((1,), 2), ((1, 1.5, 2), 3)])
def test_most_of_nine_planted_images_are_found_and_few_that_are_not_there(
    trained: tuple[Model, Images], scales: tuple[float, ...], most_false: int
) -> None:
    model, images = trained
    results = []
    for seed, background in enumerate(["grey", "noise", "gradient", "grey", "gradient"], start=100):
        seen, planted = scene(images, background=background, seed=seed, scales=scales)
        results.append((background, *judged(find(seen, model)[0], planted)))
    print(results)
    assert sum(found for _, found, _ in results) >= 0.6 * 5 * 9
    assert max(false for _, _, false in results) <= most_false


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.timeout(3600)
@pytest.mark.skipif("CIFAR_SEARCH_DATA" not in os.environ, reason="needs CIFAR-10: set CIFAR_SEARCH_DATA")
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_a_trained_network_finds_nothing_in_an_empty_scene(trained: tuple[Model, Images], background: str) -> None:
    model, images = trained
    empty, _ = scene(images, background=background, seed=0, objects=0)
    assert find(empty, model)[0] == ()
