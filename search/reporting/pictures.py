"""The pictures of a report, drawn without a display and without matplotlib's global state."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.ticker import MaxNLocator

from search.deciding.decide import Report
from search.deciding.recommendation import stated
from search.deciding.request import Claim
from search.deciding.trainings import Phase, TrainedEpoch, curves

DOTS_PER_INCH = 120
FONT, BOXES = "DejaVu Sans", "Last Resort High-Efficiency"  # matplotlib brings both; the second has a box for a letter
as_shipped = rc_context(rcParamsDefault)  # whatever a person's matplotlibrc says
TRAIN, VALIDATION, OTHER, CLAIM = "#1f77b4", "#d95f02", "#b8b8b8", "#444444"


@as_shipped
def draw_losses(report: Report, path: Path) -> None:
    """Loss and accuracy by epoch: the chosen trial's confirmation and retraining, the other confirmed ones in grey."""
    claims = report.claims
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for axes, measure, factor in ((loss, "loss", 1.0), (accuracy, "accuracy", 100.0)):
        _curves(axes, report.history, measure=measure, factor=factor)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    loss.set(title="Loss", ylabel="loss per image")
    accuracy.set(title="Accuracy", ylabel="% right")
    for index, claim in enumerate(sorted(claims, key=lambda claim: claim.accuracy)):
        accuracy.axhline(100 * claim.accuracy, color=CLAIM, linestyle="--", linewidth=1)
        point = (1 - 0.3 * (index % 3), 100 * claim.accuracy)  # side by side: neighbours are often close
        _name(claim, claims, accuracy, xy=point, xycoords=("axes fraction", "data"), xytext=(-2, 3), ha="right")
    handles, labels = accuracy.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(path, dpi=DOTS_PER_INCH)


@as_shipped
def draw_confusion(report: Report, path: Path) -> None:
    """The confusion matrix, counts in the cells, the colour by share of the true class."""
    test = report.test
    side = max(4.0, 0.7 * len(test.classes) + 1.5)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    shares = test.confusion / test.confusion.sum(axis=1, keepdims=True)
    image = axes.imshow(100 * shares, cmap="Blues", norm=PowerNorm(0.4, vmin=0, vmax=100))  # or 5 % would look like 0
    figure.colorbar(image, ax=axes, label="% of the true class", shrink=0.85, ticks=[0, 1, 5, 10, 25, 50, 100])
    axes.set_xticks(range(len(test.classes)), test.classes, rotation=45, ha="right")
    axes.set_yticks(range(len(test.classes)), test.classes)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion on the test images")
    for (true, predicted), count in np.ndenumerate(test.confusion):
        color = "white" if shares[true, predicted] > 0.3 else "black" if count else OTHER
        axes.text(predicted, true, f"{count}", ha="center", va="center", color=color, fontsize=9)
    figure.savefig(path, dpi=DOTS_PER_INCH)


@as_shipped
def draw_classes(report: Report, path: Path) -> None:
    """Accuracy of every class with its 95 % interval, the weakest at the bottom."""
    claims = report.claims
    rows = sorted(report.test.per_class, key=lambda row: row.accuracy)
    figure = Figure(figsize=(8, max(3.0, 0.4 * len(rows) + 1.4)), layout="constrained")
    axes = figure.subplots()
    accuracy = np.array([100 * row.accuracy for row in rows])
    errors = np.abs(100 * np.array([row.interval for row in rows]) - accuracy[:, None]).T
    axes.barh(range(len(rows)), accuracy, xerr=errors, color=TRAIN, alpha=0.75, error_kw={"elinewidth": 1})
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    for line, percent in enumerate(accuracy):
        axes.text(1, line, f"{percent:.1f}", va="center", color="white", fontsize=9)
    for line, claim in enumerate(sorted(claims, key=lambda claim: claim.accuracy)):
        axes.axvline(100 * claim.accuracy, color=CLAIM, linestyle="--", linewidth=1)
        point, offset = (100 * claim.accuracy, 1), (0, 2 + 10 * line)
        _name(claim, claims, axes, xy=point, xycoords=("data", "axes fraction"), xytext=offset, ha="center")
    axes.set(xlabel="% right", xlim=(0, 100), ylim=(-0.6, len(rows) - 0.4))
    axes.set_title("Test accuracy by class", pad=8 + 10 * len(claims))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _curves(axes: Axes, history: Sequence[TrainedEpoch], *, measure: str, factor: float) -> None:
    chosen = {trial for trial, _ in curves(history, "retraining")}
    drawn: list[tuple[Phase, str, str, str, bool]] = [
        ("confirmation", "validation", OTHER, "validation, other confirmed trials", False),
        ("retraining", "train", TRAIN, "training, on all images", True),
        ("confirmation", "train", TRAIN, "training, confirmation", True),
        ("confirmation", "validation", VALIDATION, "validation, confirmation", True),
    ]
    for phase, part, color, label, of_chosen in drawn:
        style = ":" if phase == "confirmation" and part == "train" else "-"
        for (trial, _), results in curves(history, phase).items():
            if (trial in chosen) == of_chosen:
                values = [factor * getattr(result, f"{part}_{measure}") for result in results]
                epochs = [result.epoch for result in results]
                axes.plot(epochs, values, style, color=color, label=label, marker=".", markersize=4, linewidth=1.3)
                label = "_"  # one entry in the legend for all its seeds


def label(claim: Claim, claims: Sequence[Claim]) -> str:
    """A claim's name in a picture: its number where no font of this machine has the letters of its own."""
    return claim.name if fonts(claim.name) else f"claim {claims.index(claim) + 1}"


@cache
def fonts(text: str) -> tuple[str, ...]:
    """The families of fonts that show a text together; none where this machine lacks one for a part of it."""
    missing = set(map(ord, text))
    for font in sorted(fontManager.ttflist, key=lambda font: font.name != FONT):
        with suppress(OSError, RuntimeError):  # a file that is gone or broken
            letters = {} if font.name == BOXES else get_font(font.fname).get_charmap()
            if missing <= letters.keys():
                return (FONT, font.name)
            if font.name == FONT:
                missing -= letters.keys()
    return ()


def _name(claim: Claim, claims: Sequence[Claim], axes: Axes, **placement: Any) -> None:
    name = label(claim, claims)
    style: dict[str, Any] = {"fontsize": 8, "color": CLAIM, "family": fonts(name), "parse_math": False}  # of `$`
    axes.annotate(f"{name} {stated(claim.accuracy)}", textcoords="offset points", **style, **placement)
