"""The store: the right images in each part, exact statistics of the training part, and normalised batches."""

from __future__ import annotations

import pytest
import torch

from search.data import synthetic
from search.data.cifar10 import CLASSES
from search.data.images import Images
from search.data.split import stratified
from search.data.store import normalise, store
from search.errors import DataError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> Images:
    return synthetic.training(400)


def test_the_statistics_are_exact_and_of_the_training_part_alone(images: Images) -> None:
    split = stratified(images.labels, validation=100, seed=1)
    pixels = images.pixels.clone()
    pixels[torch.from_numpy(split.validation)] = 255
    kept = store(Images(pixels, images.labels, CLASSES), split=split, device=CPU)
    channels = images.pixels[torch.from_numpy(split.training)].double().flatten(0, 2)
    assert torch.equal(kept.mean, channels.mean(0).float())
    assert torch.allclose(kept.std, channels.std(0, correction=0).float(), rtol=1e-7)
    assert kept.mean.dtype == kept.std.dtype == torch.float32


def test_each_part_holds_the_images_of_its_indices_and_without_a_split_every_image_trains(images: Images) -> None:
    split = stratified(images.labels, validation=100, seed=1)
    kept, whole = (store(images, split=each, device=CPU) for each in (split, None))
    assert torch.equal(kept.training.pixels, images.pixels[torch.from_numpy(split.training)])
    assert kept.validation is not None
    assert torch.equal(kept.validation.labels, images.labels[torch.from_numpy(split.validation)])
    assert whole.validation is None
    assert torch.equal(whole.training.pixels, images.pixels)


def test_a_first_look_takes_a_few_of_every_class(images: Images) -> None:
    split = stratified(images.labels, validation=100, seed=1)
    few = store(images, split=split, device=CPU, most=50)
    again = store(images, split=split, device=CPU, most=50)
    assert few.validation is not None
    assert few.training.labels.bincount().tolist() == few.validation.labels.bincount().tolist() == [5] * 10
    assert torch.equal(few.training.pixels, again.training.pixels)
    assert len(store(images, split=split, device=CPU, most=10_000).training) == 300
    judged = store(images, split=split, device=CPU, most=50, all_validation=True)
    assert judged.validation is not None
    assert (len(judged.training), len(judged.validation)) == (50, 100)


def test_a_split_of_other_data_and_a_channel_without_spread_are_refused(images: Images) -> None:
    split = stratified(synthetic.training(500).labels, validation=100, seed=1)
    with pytest.raises(DataError, match="the split is of 500 images, the data has 400"):
        store(images, split=split, device=CPU)
    black = Images(torch.zeros(10, 32, 32, 3, dtype=torch.uint8), torch.arange(10), CLASSES)
    with pytest.raises(DataError, match="every channel needs a mean and a spread"):
        store(black, split=None, device=CPU)


def test_normalised_pixels_have_mean_zero_and_spread_one(images: Images) -> None:
    kept = store(images, split=None, device=CPU)
    ready = normalise(images.pixels, kept.mean, kept.std)
    assert (ready.dtype, ready.shape) == (torch.float32, (400, 3, 32, 32))
    assert ready.is_contiguous(memory_format=torch.channels_last)
    planes = images.pixels.permute(0, 3, 1, 2).double()
    expected = (planes - kept.mean.view(3, 1, 1)) / kept.std.view(3, 1, 1)
    assert torch.allclose(ready.double(), expected, atol=1e-5)
    assert ready.mean((0, 2, 3)).abs().max() < 1e-3
    assert torch.allclose(normalise(images.pixels.float(), kept.mean, kept.std), ready)
