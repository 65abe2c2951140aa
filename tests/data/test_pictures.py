"""Pictures of a data set are the data set: nothing is lost on the way through files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from PIL import Image

from search.data import cifar10, synthetic
from search.data.images import Images
from search.data.sources import Source, find_source


def write_pictures(folder: Path, images: Images) -> None:
    """A folder of PNG files for each class."""
    for name in images.classes:
        (folder / name).mkdir(parents=True)
    for number, (pixels, label) in enumerate(zip(images.pixels.numpy(), images.labels.tolist(), strict=True)):
        Image.fromarray(pixels).save(folder / images.classes[label] / f"{number}.png", compress_level=1)


def digests(images: Images) -> list[bytes]:
    """Of each image with its label, in an order of their own: files have another one than batches."""
    rows = zip(images.pixels.numpy(), images.labels.tolist(), strict=True)
    return sorted(hashlib.sha256(pixels.tobytes() + images.classes[label].encode()).digest() for pixels, label in rows)


def read_again(folder: Path, training: Images, test: Images) -> Source:
    write_pictures(folder / "train", training)
    write_pictures(folder / "test", test)
    source = find_source(str(folder))
    for images, others in ((training, source.training()), (test, source.test())):
        assert images.classes == others.classes
        assert digests(images) == digests(others)
    return source


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_images_written_as_pictures_are_the_same_images(tmp_path: Path) -> None:
    source = read_again(tmp_path / "photos", synthetic.training(300), synthetic.test(100))
    assert (source.notes, source.official) == ((), False)


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.timeout(600)
@pytest.mark.skipif("CIFAR_SEARCH_DATA" not in os.environ, reason="needs CIFAR-10: set CIFAR_SEARCH_DATA")
def test_cifar10_written_as_pictures_is_cifar10(tmp_path: Path) -> None:
    folder = cifar10.find(Path(os.environ["CIFAR_SEARCH_DATA"]), download=False)
    read_again(tmp_path / "photos", cifar10.load_training(folder), cifar10.load_test(folder))
