"""Draws what was found in a photo: boxes with their answers, and a heat map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

LONG_SIDE = 1024  # pixels of a drawn picture
FONT_SIZE = 16


@dataclass(frozen=True)
class Box:
    """One object that was found; its edges are pixels of the photo."""

    label: str
    confidence: float  # calibrated, a fraction
    left: int
    top: int
    right: int
    bottom: int


def draw_boxes(photo: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """The photo with its boxes, a colour for each answer."""
    canvas, labels = _canvas(photo), sorted({box.label for box in boxes})
    zoom, draw, font = canvas.width / photo.width, ImageDraw.Draw(canvas), ImageFont.load_default(FONT_SIZE)
    for box in reversed(boxes):  # the strongest on top
        left, top, right, bottom = (round(zoom * edge) for edge in (box.left, box.top, box.right, box.bottom))
        colour = f"hsl({360 * labels.index(box.label) // len(labels)}, 90%, 60%)"
        draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=3)
        text, place = f"{box.label} {int(100 * box.confidence)} %", (left + 4, max(0, top - FONT_SIZE - 4))
        draw.rectangle(draw.textbbox(place, text, font=font), fill=colour, outline=colour, width=4)
        draw.text(place, text, fill="black", font=font)
    return canvas


def draw_heat(photo: Image.Image, heat: npt.NDArray[np.float32]) -> Image.Image:
    """The photo in dark grey, with red and then yellow where the evidence [height, width], from 0 to 1, is strong."""
    grey = _canvas(photo.convert("L"))
    warm = np.asarray(Image.fromarray(heat**2).resize(grey.size, Image.Resampling.BILINEAR))[..., None]
    fire = 255 * np.clip(np.concatenate([2 * warm, 2 * warm - 1, 0 * warm], axis=2), 0, 1)
    return Image.fromarray(((1 - warm) * 0.5 * np.asarray(grey) + warm * fire).astype(np.uint8))


def _canvas(photo: Image.Image) -> Image.Image:
    zoom = LONG_SIDE / max(photo.size)
    size = max(1, round(zoom * photo.width)), max(1, round(zoom * photo.height))
    return photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)
