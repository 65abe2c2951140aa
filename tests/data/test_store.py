"""The store: the right images in each part, exact statistics of the training part, and normalised batches."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.format import open_memmap

from search.augmentation.batch import Augmentation
from search.candidate import Recipe
from search.data import synthetic
from search.data.cifar10 import CLASSES
from search.data.images import Images
from search.data.split import standard_split, stratified
from search.data.store import SHARES, normalise, store
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
    assert few.training.labels.bincount().tolist() == [5] * 10
    assert len(few.validation) == 100, "what judges a training is never fewer"
    assert torch.equal(few.training.pixels, again.training.pixels)
    assert len(store(images, split=split, device=CPU, most=10_000).training) == 300


def test_a_first_look_keeps_the_shares_of_unequal_classes(images: Images) -> None:
    rare = torch.cat([torch.nonzero(images.labels == label).flatten()[: 40 if label else 4] for label in range(10)])
    split = standard_split(replace(images.take(rare), groups=torch.arange(len(rare))), seed=0)
    few = store(images.take(rare), split=split, device=CPU, most=36)
    rarest, *others = few.training.labels.bincount().tolist()
    assert rarest == 1
    assert set(others) <= {3, 4}


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


def test_what_is_too_large_for_the_device_stays_where_it_is(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    split = stratified(images.labels, validation=100, seed=1)
    resident = store(images, split=split, device=CPU, most=200)
    monkeypatch.setitem(SHARES, "cpu", 1e-9)
    streamed = store(images, split=split, device=CPU, most=200)
    assert streamed.validation is not None
    for part, other in ((streamed.training, resident.training), (streamed.validation, resident.validation)):
        assert part.pixels.data_ptr() == images.pixels.data_ptr()
        assert other is not None
        assert (len(part), part.shape) == (len(other), other.shape)
        assert torch.equal(torch.cat([*part.batches(64)]), other.pixels)
        assert torch.equal(part.at(torch.tensor([7, 0, 7])), other.pixels[[7, 0, 7]])
        assert torch.equal(part.take(torch.tensor([3])).labels, other.labels[3:4])
    assert torch.equal(streamed.mean, resident.mean)
    assert torch.equal(streamed.std, resident.std)


@pytest.mark.parametrize("translate", [0, 3])
@pytest.mark.parametrize("flip", ["none", "random", "alternating"])
def test_a_streamed_batch_is_cut_like_a_resident_one(images: Images, flip: Any, translate: int) -> None:
    streamed, index = replace(images, rows=torch.arange(len(images))), torch.tensor([5, 399, 0, 5, 17, 230])
    recipe, fill = Recipe(flip=flip, translate=translate, mixup=0.4), torch.zeros(3)
    one, two = (Augmentation(recipe, each, fill=fill, seed=7) for each in (images, streamed))
    for epoch in (0, 1):
        draws = [torch.Generator().manual_seed(epoch) for _ in range(2)]
        (pixels, targets), (others, other) = (
            each.batch(index, epoch=epoch, generator=draw) for each, draw in zip((one, two), draws, strict=True)
        )
        assert torch.equal(pixels, others)
        assert torch.equal(targets.labels, other.labels)
        assert torch.equal(draws[0].get_state(), draws[1].get_state())


def test_a_large_file_is_streamed_without_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 MB of zeros but for a few pictures: a file with holes, which takes no disk."""
    monkeypatch.setitem(SHARES, "cpu", 1e-9)
    file = open_memmap(tmp_path / "pixels.npy", mode="w+", dtype=np.uint8, shape=(4096, 128, 128, 3))
    file[::512] = np.arange(128, dtype=np.uint8)[:, None, None]
    pixels = torch.from_numpy(np.load(tmp_path / "pixels.npy", mmap_mode="c"))
    images = Images(pixels, torch.arange(4096) % 10, CLASSES)
    before = own_memory()
    split = stratified(images.labels, validation=1000, seed=0)
    kept = store(images, split=split, device=CPU)
    training = Augmentation(Recipe(), kept.training, fill=kept.mean, seed=0)
    for index in torch.arange(1024).split(64):
        training.batch(index, epoch=0, generator=torch.Generator())
    assert own_memory() - before < 60e6 < pixels.nbytes / 3


def own_memory() -> int:
    """Bytes of this process that are no pages of a file."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(r"RssAnon:\s+(\d+) kB", status)[0])
