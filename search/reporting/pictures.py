"""The pictures of a report, drawn without a display and without matplotlib's global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from search.deciding.evidence import ClassAccuracy, Epoch, Phase, curves
from search.deciding.recommendation import stated
from search.deciding.request import Claim

DOTS_PER_INCH = 120
TRAIN, VALIDATION, OTHER, CLAIM = "#1f77b4", "#d95f02", "#b8b8b8", "#444444"
MOST_NUMBERED = 30  # classes; beyond, numbers no longer fit into the cells


def losses_png(history: Sequence[Epoch], path: Path, *, claims: Sequence[Claim] = ()) -> Path:
    """Loss and accuracy by epoch: the chosen trial's confirmation and retraining, the other confirmed ones in grey."""
    figure = _new_figure(12, 4.8)
    loss, accuracy = figure.subplots(1, 2)
    for axes, measure, factor in ((loss, "loss", 1.0), (accuracy, "accuracy", 100.0)):
        _curves(axes, history, measure=measure, factor=factor)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    loss.set(title="Loss", ylabel="loss per image")
    accuracy.set(title="Accuracy", ylabel="% right")
    for index, claim in enumerate(sorted(claims, key=lambda claim: claim.accuracy)):
        accuracy.axhline(100 * claim.accuracy, color=CLAIM, linestyle="--", linewidth=1)
        point = (1 - 0.3 * (index % 3), 100 * claim.accuracy)  # side by side: neighbours are often close
        _name(claim, accuracy, xy=point, xycoords=("axes fraction", "data"), xytext=(-2, 3), ha="right")
    handles, labels = accuracy.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
    return _save(figure, path)


def confusion_png(confusion: npt.NDArray[np.integer[Any]], classes: Sequence[str], path: Path) -> Path:
    """The confusion matrix, counts in the cells, the colour by share of the true class."""
    side = max(4.0, 0.7 * len(classes) + 1.5) if len(classes) <= MOST_NUMBERED else 14.0
    figure = _new_figure(side + 0.8, side)
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(100 * shares, cmap="Blues", norm=PowerNorm(0.4, vmin=0, vmax=100))  # or 5 % would look like 0
    figure.colorbar(image, ax=axes, label="% of the true class", shrink=0.85, ticks=[0, 1, 5, 10, 25, 50, 100])
    ticks, names = range(len(classes)), [_literal(name) for name in classes]
    axes.set_xticks(ticks, names, rotation=45, ha="right")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion on the test images")
    if len(classes) <= MOST_NUMBERED:
        for (true, predicted), count in np.ndenumerate(confusion):
            color = "white" if shares[true, predicted] > 0.3 else "black" if count else OTHER
            axes.text(predicted, true, f"{count}", ha="center", va="center", color=color, fontsize=9)
    return _save(figure, path)


def per_class_png(rows: Sequence[ClassAccuracy], path: Path, *, claims: Sequence[Claim] = ()) -> Path:
    """Accuracy of every class with its 95 % interval, the weakest at the bottom."""
    figure = _new_figure(8, max(3.0, 0.4 * len(rows) + 1.4))
    axes = figure.subplots()
    ordered = sorted(rows, key=lambda row: row.accuracy)
    accuracy = np.array([100 * row.accuracy for row in ordered])
    ends = np.array([[100 * row.interval.low, 100 * row.interval.high] for row in ordered])
    errors = np.abs(ends - accuracy[:, None]).T
    axes.barh(range(len(ordered)), accuracy, xerr=errors, color=TRAIN, alpha=0.75, error_kw={"elinewidth": 1})
    axes.set_yticks(range(len(ordered)), [_literal(row.name) for row in ordered])
    for line, row in enumerate(ordered):
        axes.text(1, line, f"{100 * row.accuracy:.1f}", va="center", color="white", fontsize=9)
    for line, claim in enumerate(sorted(claims, key=lambda claim: claim.accuracy)):
        axes.axvline(100 * claim.accuracy, color=CLAIM, linestyle="--", linewidth=1)
        point, offset = (100 * claim.accuracy, 1), (0, 2 + 10 * line)
        _name(claim, axes, xy=point, xycoords=("data", "axes fraction"), xytext=offset, ha="center")
    axes.set(xlabel="% right", xlim=(0, 100), ylim=(-0.6, len(ordered) - 0.4))
    axes.set_title("Test accuracy by class", pad=8 + 10 * len(claims))
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def _curves(axes: Axes, history: Sequence[Epoch], *, measure: str, factor: float) -> None:
    retrained = curves(history, "retraining")
    chosen = {trial for trial, _ in retrained}
    confirmed = curves(history, "confirmation")
    drawn: list[tuple[Phase, str, str, str, bool]] = [
        ("confirmation", "validation", OTHER, "validation, other confirmed trials", False),
        ("retraining", "train", TRAIN, "training, on all images", True),
        ("confirmation", "train", TRAIN, "training, confirmation", True),
        ("confirmation", "validation", VALIDATION, "validation, confirmation", True),
    ]
    for phase, part, color, label, of_chosen in drawn:
        style = ":" if phase == "confirmation" and part == "train" else "-"
        for (trial, _), rows in (retrained if phase == "retraining" else confirmed).items():
            points = [(row.epoch, getattr(row, f"{part}_{measure}")) for row in rows]
            points = [(epoch, factor * value) for epoch, value in points if value is not None]
            if points and (trial in chosen) == of_chosen:
                epochs, values = zip(*points, strict=True)
                axes.plot(epochs, values, style, color=color, label=label, marker=".", markersize=4, linewidth=1.3)
                label = "_"  # one entry in the legend for all its seeds


def _name(claim: Claim, axes: Axes, **placement: Any) -> None:
    text = f"{_literal(claim.name)} {stated(claim.accuracy)}"
    axes.annotate(text, textcoords="offset points", fontsize=8, color=CLAIM, **placement)


def _new_figure(width: float, height: float) -> Figure:
    """An empty one, of so many inches."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, format="png", dpi=120)
    return path


def _literal(text: str) -> str:
    """Text that is no formula: an even number of bare $ would be read as one."""
    return text.replace("$", r"\$")
