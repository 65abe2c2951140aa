"""Figures and their files, drawn without a display and without matplotlib's global state."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

DOTS_PER_INCH = 120


def figure(width: float, height: float) -> Figure:
    """An empty one, of so many inches."""
    empty = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(empty)
    return empty


def save(drawn: Figure, path: Path) -> Path:
    """Write it as PNG; returns the path."""
    drawn.savefig(path, format="png", dpi=DOTS_PER_INCH)
    return path


def literal(text: str) -> str:
    """Text that is no formula: an even number of bare $ would be read as one."""
    return text.replace("$", r"\$")
