"""An .npz becomes a data set, and one that is broken or means harm becomes a sentence."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from malice import Payload

from search.data.sources import find_source
from search.errors import DataError
from search.pictures import arrays
from search.pictures.arrays import list_npz

Call = Callable[..., tuple[int, str, str]]

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(40) % 2


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def save(**named: Any) -> Path:
        np.savez_compressed(tmp_path / "data.npz", **named)
        return tmp_path / "data.npz"

    return save


@pytest.mark.parametrize(
    ("pixels", "channels"),
    [(PIXELS, 3), (PIXELS.transpose(0, 3, 1, 2), 3), (PIXELS[..., 0], 1), (PIXELS[..., :1], 1)],
    ids=["NHWC", "NCHW", "NHW", "NHW1"],
)
def test_keras_arrays_keep_every_pixel_and_every_label(
    saved: Callable[..., Path], pixels: np.ndarray[Any, Any], channels: int
) -> None:
    place = saved(x_train=pixels[:30], y_train=LABELS[:30, None], x_test=pixels[30:], y_test=LABELS[30:])
    source = find_source(str(place))
    training, test = source.training(), source.test()
    assert (training.classes, training.shape.channels, source.notes) == (("0", "1"), channels, ())
    assert np.array_equal(training.pixels.numpy(), PIXELS[:30, ..., :channels])
    assert np.array_equal(test.pixels.numpy(), PIXELS[30:, ..., :channels])
    assert (training.labels.tolist(), test.labels.tolist()) == (LABELS[:30].tolist(), LABELS[30:].tolist())


def test_images_with_the_names_of_classes_and_parts(saved: Callable[..., Path]) -> None:
    parts = ["val"] * 4 + ["train"] * 26 + ["test"] * 10
    listing = list_npz(saved(images=PIXELS, labels=LABELS, classes=["cat", "dog"], parts=parts))
    assert (listing.classes, listing.labels) == (("cat", "dog"), tuple(LABELS.tolist()))
    assert listing.parts == ("validation",) * 4 + ("training",) * 26 + ("test",) * 10
    named = list_npz(saved(images=PIXELS, labels=np.array(["dog", "cat"])[LABELS]))
    assert (named.classes, named.labels) == (("cat", "dog"), tuple((1 - LABELS).tolist()))
    assert named.parts == (None,) * 40


def test_an_npz_is_read_again_only_where_it_changed(
    saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(saved(images=PIXELS, labels=LABELS))
    first = find_source(place)
    with monkeypatch.context() as patch:
        patch.setattr("search.data.pictures.list_npz", lambda _: pytest.fail("it was decoded before"))
        assert find_source(place) == first
    saved(images=255 - PIXELS, labels=LABELS)
    assert find_source(place).training().fingerprint != first.training().fingerprint


TEXTS = np.array(["train"] * 39 + ["tset"])


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"data": PIXELS}, r"holds data; it must hold x_train and y_train"),
        ({}, r"holds no array; it must hold"),
        ({"x_train": PIXELS}, r"holds x_train; it must hold"),
        ({"x_test": PIXELS, "y_test": LABELS}, "has no picture to train on of 0, 1"),
        ({"images": PIXELS / 255, "labels": LABELS}, r"images must be uint8 .*, not float64 \[40, 32, 32, 3\]"),
        ({"images": PIXELS[0], "labels": LABELS}, "the labels of images must be 32 integers or names"),
        ({"images": PIXELS[..., :2], "labels": LABELS}, "with 1, 3 or 4 channels"),
        ({"images": PIXELS[:0], "labels": LABELS[:0]}, "images must be uint8"),
        ({"images": np.uint8(3), "labels": LABELS}, r"images must be uint8 .*, not uint8 \[\]"),
        ({"images": PIXELS, "labels": LABELS[:39]}, r"labels of images must be 40 integers or names.*not int64 \[39\]"),
        ({"images": PIXELS, "labels": np.where(LABELS, np.nan, 0.0)}, "integers or names, one a picture, not float64"),
        ({"images": PIXELS, "labels": np.eye(2, dtype=int)[LABELS]}, r"not int64 \[40, 2\]"),
        ({"images": PIXELS, "labels": LABELS + 1, "classes": ["a", "b"]}, "classes must be names, one for each"),
        ({"images": PIXELS, "labels": LABELS, "classes": [1, 2]}, "classes must be names"),
        ({"images": PIXELS, "labels": np.arange(40)}, "a class needs 10 pictures"),
        ({"images": PIXELS, "labels": LABELS * 0}, "has 1 classes"),
        ({"images": PIXELS, "labels": LABELS, "parts": TEXTS[1:]}, "parts must be a text for each of its 40 images"),
        ({"images": PIXELS, "labels": LABELS, "parts": TEXTS}, "names the part 'tset'.*nearest: test"),
    ],
)
def test_arrays_that_do_not_fit_are_told_in_one_sentence(
    saved: Callable[..., Path], named: dict[str, Any], sentence: str
) -> None:
    place = saved(**named)
    with pytest.raises(DataError, match=sentence) as error:
        find_source(str(place))
    assert str(place) in str(error.value)
    assert "\n" not in str(error.value)


def test_python_objects_run_nothing(saved: Callable[..., Path], call: Call, tmp_path: Path) -> None:
    place = saved(images=PIXELS, labels=np.array([Payload(tmp_path / "trace")] * 40, dtype=object))
    code, output, errors = call("run", "--data", place, "--device", "cpu", "--runs", tmp_path / "runs")
    assert (code, output, errors.count("\n")) == (3, "", 1)
    assert "data.npz cannot be read as .npz (Object arrays cannot be loaded" in errors
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "runs").exists()


def test_a_bomb_is_not_unpacked(saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    place = saved(images=np.zeros((2000, 64, 64), dtype=np.uint8), labels=np.zeros(2000, dtype=int))
    assert place.stat().st_size < 20_000
    monkeypatch.setattr(arrays.Container, "most_memory", lambda _: 10e6)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(DataError, match=r"takes 0\.0 GB of memory, of which a file of arrays may take 0\.0 here"):
        list_npz(place)


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**13, 32, 32)})
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + b"few")
        archive.writestr("labels.npy", b"none")
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        list_npz(tmp_path / "data.npz")


@given(content=st.binary(max_size=300), at=st.integers(0, 600))
def test_any_bytes_are_arrays_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int) -> None:
    whole = io.BytesIO()
    np.savez(whole, images=PIXELS[:2, :4, :4], labels=LABELS[:2])
    place = tmp_path_factory.mktemp("npz") / "data.npz"
    for broken in (content, whole.getvalue()[:at] + content, whole.getvalue()[:at] + content + whole.getvalue()[at:]):
        place.write_bytes(broken)
        with suppress(DataError):
            assert list_npz(place).pictures
