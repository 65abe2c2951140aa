"""Search spaces, what was found about one, and the layers of a candidate, as tables and lines."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.console.terminal import columns
from search.text import percent, plain, plural
from spaces import Space
from spaces.baselines import PublishedRecipe
from spaces.parameter import Fixed, condition_text, shown

if TYPE_CHECKING:
    from search.inspecting.check import Checked  # torch, for which a list need not wait
    from search.inspecting.explain import Explanation

WIDE = 132  # columns of a terminal, from which on nothing of a layer needs a second line
NETWORK = "(network)"  # stands for the name of the whole network, which is empty


def spaces_table(spaces: Iterable[Space]) -> Table:
    """One line for each."""
    table = columns("name", "family", ">vary", ">trial", "")
    for space in spaces:
        length = f"{space.length.trial} epochs" if space.length else "-"
        table.add_row(space.name, space.family, str(len(space.varying)), length, Text(space.description))
    return table


def space_text(space: Space) -> Group:
    """Everything that a space file says."""
    head = Text.assemble((space.name, "bold"), f": {space.description} (family {space.family}, {space.source})")
    parameters = columns("name", "kind", "range", "condition")
    for parameter in space.parameters:
        kind, when = parameter.kind, condition_text(parameter.when) if parameter.when else ""
        style = "dim" if isinstance(kind, Fixed) else ""
        parameters.add_row(parameter.name, type(kind).__name__.lower(), Text(kind.describe()), Text(when), style=style)
    return Group(head, Text(), parameters, Text(), *_length_limits_baselines(space))


def fields_table(schema: Mapping[str, Any]) -> Table:
    """Every name of a space file, from its schema."""
    table, definitions = columns("name", "type", "range or choices", "default", "unit and meaning"), schema["$defs"]
    measures = " | ".join(schema["properties"]["constraints"]["propertyNames"]["enum"])
    titles = {"LengthShape": ("length",), "LimitShape": ("constraints.", "", measures), "recipe": ("recipe",)}
    for part in [part for part, definition in definitions.items() if "properties" in definition]:
        table.add_row(*titles.get(part, ("architecture", "", f"of family {part}")), style="bold")
        for name, field in definitions[part]["properties"].items():
            value = definitions.get(f"{part}.{name}", {"anyOf": [field]})["anyOf"][0]
            given = field.get("default", ())
            defaults = given if isinstance(given, tuple) else (given,)
            default = ", ".join(map(shown, defaults[:1] if len(set(defaults)) == 1 else defaults))
            entries = " (.1, .2, ...)" * ("anyOf" in field)
            table.add_row(f"  {name}{entries}", *_type_and_range(value), default, Text(field["description"], "dim"))
    return table


def _type_and_range(value: Mapping[str, Any]) -> tuple[str, str]:
    if options := value.get("enum"):
        return "choice", " | ".join(map(shown, options))
    low = value.get("minimum", f"above {value.get('exclusiveMinimum')}")
    high = value.get("maximum", f"below {value['exclusiveMaximum']}" if "exclusiveMaximum" in value else "")
    types = {"number": "float", "string": "text", "boolean": "true or false"}
    return types.get(value["type"], value["type"]), f"{low} .. {high}" * (value["type"] in ("number", "integer"))


def checked_text(checked: "Checked") -> Group:
    """Shares, sizes, groups, findings."""
    counts = f": {checked.draws:,} draws, {checked.infeasible / checked.draws:.1%} of them may not be trained"
    head = [Text.assemble("space ", (checked.space, "bold"), counts), *_reasons(checked)]
    return Group(*head, Text(), _sizes(checked), Text(), *_groups(checked), Text(), *_findings(checked))


def _length_limits_baselines(space: Space) -> Iterator[Text]:
    if space.length:
        yield Text(f"length: {space.length.trial} epochs of a trial, {space.length.retrain} of a final training")
    for measure, maximum in space.limits.items():
        yield Text(f"limit: {measure} at most {maximum:,.12g}")
    for baseline in space.baselines:
        values = {name: baseline.values[name] for name in space.stored(baseline.values)}
        texts = (f"{name} {plain(each) if isinstance(each, float) else shown(each)}" for name, each in values.items())
        best_at = f", the best known for about {plural(baseline.epochs, 'epoch')}" if baseline.epochs else ""
        yield Text(f"baseline {baseline.name}{best_at}: {', '.join(texts)}")


def _reasons(checked: "Checked") -> Iterator[Text]:
    for measure, count in checked.over.items():
        yield Text(f"  over the limit of {measure}: {count / checked.draws:.1%}")
    if checked.impossible:
        yield Text(f"  no network: {checked.impossible / checked.draws:.1%}, most often: {checked.commonest}")


def _sizes(checked: "Checked") -> Table:
    table = columns("network", ">smallest", ">median", ">largest", ">limit")
    for measure, size in checked.sizes.items():
        limit = "-" if size.maximum is None else f"{size.maximum:,.12g}"
        table.add_row(measure, f"{size.smallest:,.0f}", f"{size.median:,.0f}", f"{size.largest:,.0f}", limit)
    return table


def _groups(checked: "Checked") -> Iterator[Text]:
    if len(checked.groups) > 1:
        yield Text("drawn jointly by TPE, each group independently of the others:")
        for group in checked.groups:
            yield Text(f"  in {group.share:.1%} of the draws: {', '.join(group.parameters)}")
    else:
        yield Text("TPE draws all parameters jointly")


def _findings(checked: "Checked") -> Iterator[Text]:
    for finding in checked.findings:
        yield Text(f"{finding.level}: {finding.message}", "red" if finding.level == "error" else "yellow")
    if not checked.findings:
        yield Text("no findings", "green")


def baselines_table(recipes: Iterable[PublishedRecipe]) -> Table:
    """What can be trained again."""
    title = "published recipes: cifar-search baseline NAME"
    table = columns("name", ">reported", ">epochs", "what", title=title)
    for published in recipes:
        what = Text.assemble(published.title, "\n", (published.source, "dim"))
        table.add_row(published.name, percent(published.reported / 100), str(published.epochs), what)
    return table


def layers_text(explanation: "Explanation", *, width: int) -> Group:
    """Every layer, for a terminal of so many columns."""
    head = f"{explanation.title}: a network of family {explanation.candidate.architecture.family}"
    notes = [Text(explanation.note, "yellow")] if explanation.note else []
    legend = (
        "(W - F + 2P)/S + 1: the pixels of a side, the filter's, the padding's, the stride. sees: pixels along a side "
        "of the image that one output depends on. MFLOPs: of one image, a multiplication and its addition are two. "
        f"MB: the outputs for a batch of {explanation.candidate.recipe.batch_size:,} in float32; a training needs "
        f"about {explanation.training_mb:,.0f} MB in all."
    )
    return Group(Text(head), *notes, Text(), _layers(explanation, wide=width >= WIDE), Text(), Text(legend, "dim"))


def _layers(explanation: "Explanation", *, wide: bool) -> Table:
    words = ("layer", "kind", "input", "output", "(W - F + 2P)/S + 1") if wide else ("layer", "in, out")
    table = columns(*words, ">sees", ">parameters", ">MFLOPs", ">MB", gap=1)
    table.pad_edge = False
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
    totals = f"{explanation.parameters:,}", _short(explanation.flops / 1e6), _short(explanation.memory_mb)
    table.add_row("total", *[""] * len(words), *totals, style="bold")
    return table


def _short(number: float) -> str:
    """Empty for 0; a number that would be rounded to 0 is `<0.01`."""
    if 0 < number < 0.005:
        return "<0.01"
    return f"{number:,.2f}" if number else ""
