"""The layers of a candidate as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.inspecting.explain import Explanation
from search.inspecting.trace import Layer, Shape

WIDE = 132  # columns of a terminal, from which on nothing of a layer needs a second line
NETWORK = "(network)"  # stands for the name of the whole network, which is empty


def layers_text(explanation: Explanation, *, width: int) -> Group:
    """Every layer, for a terminal of so many columns."""
    subject, batch = explanation.subject, explanation.subject.candidate.recipe.batch_size
    head = Text.assemble(subject.title, f": a network of family {subject.candidate.architecture.family}")
    notes = [Text(subject.note, "yellow")] if subject.note else []
    legend = (
        "(W - F + 2P)/S + 1: the pixels of a side, the filter's, the padding's, the stride. sees: pixels along a side "
        "of the image that one output depends on. MFLOPs: of one image, a multiplication and its addition are two. "
        f"MB: the outputs for a batch of {batch:,} in float32; a training needs about "
        f"{explanation.training_bytes / 1e6:,.0f} MB in all."
    )
    table = _wide(explanation) if width >= WIDE else _narrow(explanation)
    return Group(head, *notes, Text(), table, Text(), Text(legend, "dim"))


def _wide(explanation: Explanation) -> Table:
    table = _table("layer", "kind", "input", "output", "(W - F + 2P)/S + 1")
    for layer in explanation.layers:
        arithmetic = layer.window.arithmetic if layer.window else ""
        cells = (_shape(layer.input), _shape(layer.output), arithmetic)
        table.add_row(layer.name or NETWORK, layer.kind, *cells, *_numbers(layer))
    table.add_section()
    table.add_row("total", "", "", "", "", *_totals(explanation), style="bold")
    return table


def _narrow(explanation: Explanation) -> Table:
    table = _table("layer", "in, out")
    for layer in explanation.layers:
        second = f"\n  {layer.window.arithmetic}" if layer.window else ""
        name = Text.assemble(layer.name or NETWORK, (f" {layer.kind}", "dim"), (second, "dim"))
        shapes = [layer.input, layer.output] if second or layer.input != layer.output else [layer.output]
        table.add_row(name, "\n".join(map(_shape, shapes)), *_numbers(layer))
    table.add_section()
    table.add_row("total", "", *_totals(explanation), style="bold")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for column in ("sees", "parameters", "MFLOPs", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _numbers(layer: Layer) -> Sequence[str]:
    sees = "all" if layer.receptive_field is None else str(layer.receptive_field)
    parameters = f"{layer.parameters:,}" if layer.parameters else ""
    return sees, parameters, _short(layer.flops / 1e6), _short(layer.memory_mb)


def _totals(explanation: Explanation) -> Sequence[str]:
    return "", f"{explanation.parameters:,}", _short(explanation.flops / 1e6), _short(explanation.memory_mb)


def _short(number: float) -> str:
    """Empty for 0; what would be rounded to it is `<0.01`."""
    if 0 < number < 0.005:
        return "<0.01"
    return f"{number:,.2f}" if number else ""


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))
