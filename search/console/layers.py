"""The layers of a candidate as a table."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.inspecting.explain import Explanation

WIDE = 132  # columns of a terminal, from which on nothing of a layer needs a second line
NETWORK = "(network)"  # stands for the name of the whole network, which is empty


def layers_text(explanation: Explanation, *, width: int) -> Group:
    """Every layer, for a terminal of so many columns."""
    head = f"{explanation.title}: a network of family {explanation.candidate.architecture.family}"
    notes = [Text(explanation.note, "yellow")] if explanation.note else []
    legend = (
        "(W - F + 2P)/S + 1: the pixels of a side, the filter's, the padding's, the stride. sees: pixels along a side "
        "of the image that one output depends on. MFLOPs: of one image, a multiplication and its addition are two. "
        f"MB: the outputs for a batch of {explanation.candidate.recipe.batch_size:,} in float32; a training needs "
        f"about {explanation.training_mb:,.0f} MB in all."
    )
    return Group(Text(head), *notes, Text(), _table(explanation, wide=width >= WIDE), Text(), Text(legend, "dim"))


def _table(explanation: Explanation, *, wide: bool) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    words = ("layer", "kind", "input", "output", "(W - F + 2P)/S + 1") if wide else ("layer", "in, out")
    for column in words:
        table.add_column(column, overflow="fold")
    for column in ("sees", "parameters", "MFLOPs", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in explanation.layers:
        name, shapes = layer.name or NETWORK, ["x".join(map(str, shape)) for shape in (layer.input, layer.output)]
        sees = "all" if layer.receptive_field is None else str(layer.receptive_field)
        parameters = f"{layer.parameters:,}" if layer.parameters else ""
        numbers = sees, parameters, _short(layer.flops / 1e6), _short(layer.memory_mb)
        if wide:
            table.add_row(name, layer.kind, *shapes, layer.arithmetic, *numbers)
            continue
        second = f"\n  {layer.arithmetic}" if layer.arithmetic else ""
        if layer.input == layer.output and not second:
            shapes = shapes[:1]
        table.add_row(Text.assemble(name, (f" {layer.kind}{second}", "dim")), "\n".join(shapes), *numbers)
    table.add_section()
    totals = f"{explanation.parameters:,}", _short(explanation.flops / 1e6), _short(explanation.memory_mb)
    table.add_row("total", *[""] * len(words), *totals, style="bold")
    return table


def _short(number: float) -> str:
    """Empty for 0; a number that would be rounded to 0 is `<0.01`."""
    if 0 < number < 0.005:
        return "<0.01"
    return f"{number:,.2f}" if number else ""
