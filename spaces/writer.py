"""From a Space to the text of a space file that reads back as the same space."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from io import StringIO
from textwrap import wrap
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from spaces.parameter import Fixed, Parameter
from spaces.space import Baseline, Space

WIDTH = 112  # columns


class _Representer(RoundTripRepresenter):
    def represent_str(self, text: str) -> ScalarNode:
        """In double quotes where plain text is unsafe: unprintable characters, or a first one such as ? or -."""
        plain = text.isprintable() and text[:1].isalnum()
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Representer.add_representer(str, _Representer.represent_str)


def space_text(space: Space, *, head: Iterable[str] = (), comments: Mapping[str, str] = {}) -> str:
    """The space as YAML: `head` are the comments on top, `comments` those above a parameter, by its name.

    A fixed value with a condition cannot be written: make it a choice of one option.
    """
    file = CommentedMap(description=space.description, family=space.family)
    if space.length:
        file["length"] = _flow(asdict(space.length))
    for parameter in space.parameters[1:]:  # the first one is the family
        part, name = parameter.name.split(".", 1)
        entries = file.setdefault(part, CommentedMap())
        entries[name] = _entry(parameter)
        if comment := comments.get(parameter.name):
            entries.yaml_set_comment_before_after_key(name, before="\n".join(_wrapped(comment)), indent=2)
    if space.limits:
        file["constraints"] = {name: _flow({"max": maximum}) for name, maximum in space.limits.items()}
    if space.baselines:
        file["baselines"] = {baseline.name: _baseline(space, baseline) for baseline in space.baselines}
    for part in [*file][3 if space.length else 2 :]:
        file.yaml_set_comment_before_after_key(part, before="\n")
    writer = YAML()
    writer.Representer = _Representer
    writer.width = WIDTH
    text = StringIO()
    writer.dump(file, text)
    return "".join(f"# {line}\n" for each in head for line in _wrapped(each)) + text.getvalue()


def _baseline(space: Space, baseline: Baseline) -> dict[str, Any]:
    parts: dict[str, CommentedMap] = {}
    for part, name in (each.name.split(".", 1) for each in space.varying if each.name in baseline.values):
        parts.setdefault(part, CommentedMap())[name] = baseline.values[f"{part}.{name}"]
    for values in parts.values():
        if len(str(values)) <= WIDTH:
            values.fa.set_flow_style()
    return {**({"epochs": baseline.epochs} if baseline.epochs else {}), **parts}


def _entry(parameter: Parameter) -> Any:
    """`{integer: [16, 40], step: 8}`."""
    kind = parameter.kind
    if isinstance(kind, Fixed):
        assert not parameter.when, f"{parameter.name}: a space file knows no condition of a fixed value"
        return kind.value
    fields = asdict(kind)
    values = fields.pop("options") if "options" in fields else [fields.pop("low"), fields.pop("high")]
    entry = {type(kind).__name__.lower(): values}
    entry |= {name: value for name, value in fields.items() if value != getattr(type(kind), name)}
    if parameter.when:
        entry["when"] = {name: [*some] if len(some) > 1 else some[0] for name, some in parameter.when.items()}
    return _flow(entry)


def _flow(entries: Mapping[str, Any]) -> CommentedMap:
    """A mapping that is written on one line."""
    node = CommentedMap(entries)
    node.fa.set_flow_style()
    return node


def _wrapped(comment: str) -> list[str]:
    printable = "".join(letter if letter.isprintable() else " " for letter in comment)
    return wrap(" ".join(printable.split()), WIDTH, break_long_words=False)
