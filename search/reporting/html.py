"""HTML pages that need no other file and no network: templates that escape what they are given, pictures inside."""

import base64
import io
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from PIL import Image

from search.pictures.decode import Pixels

_ENVIRONMENT = Environment(
    autoescape=True,
    loader=FunctionLoader(lambda name: (files("search.reporting") / name).read_text(encoding="utf-8")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **content: Any) -> str:
    """A template that lies beside this module, such as `explore.html`, filled in."""
    # A surrogate, of a file's name that is no UTF-8, could not be written.
    return _ENVIRONMENT.get_template(template).render(content).encode(errors="replace").decode()


def data_uri(png: bytes) -> str:
    """An address that holds a picture."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def thumbnail(pixels: Pixels, *, side: int) -> str:
    """The address of uint8 [S, S, C], made smaller where it has more than `side` pixels."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((side, side))
    image.save(buffer := io.BytesIO(), format="PNG", optimize=True)
    return data_uri(buffer.getvalue())
