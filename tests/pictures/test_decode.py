"""Files of every kind as pixels, and files that are no pictures or mean harm."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.pictures.decode import MOST_BYTES, PictureError, decode, header


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def png(width: int, height: int, *, data: bytes = b"") -> bytes:
    """A PNG that states any size; without the data of so many pixels."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_picture_of_the_right_size_keeps_every_bit(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for suffix in ("png", "bmp", "tif", "ppm"):
        path = saved(tmp_path / f"a.{suffix}", Image.fromarray(pixels))
        assert np.array_equal(decode(path, side=32, channels=3), pixels), suffix


@pytest.mark.parametrize(
    ("mode", "value", "grey", "colour"),
    [
        ("1", 1, 255, (255, 255, 255)),
        ("L", 7, 7, (7, 7, 7)),
        ("LA", (9, 255), 9, (9, 9, 9)),
        ("RGB", (255, 0, 0), 76, (255, 0, 0)),
        ("RGBA", (255, 0, 0, 255), 76, (255, 0, 0)),
        ("RGBA", (0, 0, 0, 0), 255, (255, 255, 255)),  # what is transparent is white, whatever colour is under it
        ("LA", (0, 0), 255, (255, 255, 255)),
        ("CMYK", (0, 0, 0, 255), 0, (0, 0, 0)),
        ("I;16", 65535, 255, (255, 255, 255)),
        ("I;16", 257 * 5, 5, (5, 5, 5)),
    ],
)
def test_every_mode_becomes_grey_or_colour(
    mode: str, value: Any, grey: int, colour: tuple[int, ...], tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.tif", Image.new(mode, (50, 40), value))
    assert decode(path, side=8, channels=1).shape == (8, 8, 1)
    assert set(decode(path, side=8, channels=1).flatten().tolist()) == {grey}
    assert {tuple(pixel) for row in decode(path, side=8, channels=3).tolist() for pixel in row} == {colour}


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (16, 0, 32, 32))
    pixels = decode(saved(tmp_path / "a.png", image, transparency=0), side=32, channels=3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 31].tolist() == [200, 100, 50]


def test_a_photograph_that_was_turned_stands_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), "black")
    image.paste("white", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is at its right side: a viewer turns it clockwise
    pixels = decode(saved(tmp_path / "a.png", image, exif=exif), side=32, channels=1)
    assert (pixels[4, 28, 0], pixels[4, 4, 0]) == (255, 0)


def test_the_short_side_is_resized_and_the_middle_kept(tmp_path: Path) -> None:
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (100, 0, 200, 100))
    for suffix in ("png", "jpg"):
        pixels = decode(saved(tmp_path / f"a.{suffix}", image), side=32, channels=3)
        assert (pixels[..., 2] > 200).mean() > 0.95, suffix
        kind = f"{'PNG' if suffix == 'png' else 'JPEG'} RGB of 64 to 127 pixels"
        assert header(tmp_path / f"a.{suffix}") == (100, False, kind)


HOSTILE = {
    "a bomb that Pillow would refuse": (png(60_000, 60_000), "cannot be decoded .*exceeds limit"),
    "a bomb that Pillow would decode": (png(9_000, 9_000), "9,000 x 9,000 pixels are over the limit"),
    "fewer bytes than pixels": (png(100, 100, data=b"abc"), "cannot be decoded"),
    "nothing": (b"", "no picture"),
    "text": (b"<html>not found</html>", "no picture"),
    "a vector picture": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no picture"),
    "a program for a printer": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "no picture"),  # run by Pillow
    "a format that is not read here": (b"SIMPLE  =                    T" + b" " * 2850, "no picture"),  # FITS
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_picture_is_refused(what: str, tmp_path: Path) -> None:
    content, reason = HOSTILE[what]
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PictureError, match=reason):
        decode(tmp_path / "a.png", side=32, channels=3)


def test_a_large_file_a_pipe_and_a_folder_are_refused_at_once(tmp_path: Path) -> None:
    large, pipe = tmp_path / "large.png", tmp_path / "pipe.png"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    os.mkfifo(pipe)
    for path, reason in ((large, "64 MB are over"), (pipe, "no file"), (tmp_path, "cannot be decoded|no file")):
        with pytest.raises(PictureError, match=reason):
            header(path)


def test_every_cut_of_a_picture_is_refused_or_decoded(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.jpg", Image.effect_noise((64, 64), 80)).read_bytes()
    for length in range(0, len(whole) - 40, 97):
        (tmp_path / "cut.jpg").write_bytes(whole[:length])
        with pytest.raises(PictureError):
            decode(tmp_path / "cut.jpg", side=32, channels=3)
