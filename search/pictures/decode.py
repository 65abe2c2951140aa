"""Turns a picture file into pixels, or says why it is none."""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from search.errors import one_line

MOST_BYTES = 64_000_000  # of a file
MOST_PIXELS = 64_000_000  # of a picture; decoded it takes 0.2 GB
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # what is hardly used is hardly tested against attacks
GREY = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L"}  # modes without colour
MODES = {1: "L", 3: "RGB"}  # by channels

Pixels = npt.NDArray[np.uint8]
Picture = Path | Pixels  # a file, or an array [H, W] or [H, W, C]

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # the limit here is the lower one


class PictureError(ValueError):
    """A file that is no picture, or too large a one."""


class Header(NamedTuple):
    """What a picture says of itself before it is decoded."""

    short_side: int  # pixels
    grey: bool
    kind: str  # of file; sizes are told apart by the powers of two


def header(picture: Picture) -> Header:
    """Raises PictureError."""
    with _opened(picture) as image:
        side, least = min(image.size), 2 ** (min(image.size).bit_length() - 1)
        kind = f"{image.format or 'array'} {image.mode} of {least:,} to {2 * least - 1:,} pixels"
        return Header(side, image.mode in GREY, kind)


def decode(source: Picture, *, side: int, channels: int) -> Pixels:
    """The pixels [side, side, channels] of a picture, upright: its short side is resized and its middle kept.

    What is transparent becomes white; 16 bits become 8. Raises PictureError.
    """
    with _opened(source) as image:
        if image.format == "JPEG":
            image.draft(MODES[channels], (2 * side, 2 * side))  # decodes a large photograph in a fraction of the time
        picture = _upright(image, channels)
        if picture.size != (side, side):
            picture = ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)
        return np.asarray(picture).reshape(side, side, channels)


def photograph(path: Path, *, channels: int) -> Image.Image:
    """A whole picture, upright, at its own size, likewise in grey or colour. Raises PictureError."""
    with _opened(path) as image:
        return _upright(image, channels)


def _upright(image: Image.Image, channels: int) -> Image.Image:
    return _eight_bits(ImageOps.exif_transpose(image)).convert(MODES[channels])


def _eight_bits(image: Image.Image) -> Image.Image:
    """In a mode that converts to grey or colour as it is meant."""
    if image.mode in ("I", "F"):
        raise PictureError("its pixels have 32 bits; save it with 8 or 16")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("RGB") if image.mode not in GREY else image


@contextmanager
def _opened(picture: Picture) -> Iterator[Image.Image]:
    if isinstance(picture, np.ndarray):
        yield Image.fromarray(picture)
        return
    try:
        # O_NONBLOCK: a pipe must not block for ever.
        with os.fdopen(os.open(picture, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PictureError("it is no file")
            if status.st_size > MOST_BYTES:
                raise PictureError(f"its {status.st_size / 1e6:,.0f} MB are over the limit of {MOST_BYTES / 1e6:.0f}")
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise PictureError(f"its {width:,} x {height:,} pixels are over the limit of {MOST_PIXELS:,}")
                yield image
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("it is no picture") from None
    except Exception as error:  # whatever a decoder makes of broken or hostile bytes
        raise PictureError(f"it cannot be decoded ({one_line(error, most=120)})") from error
