"""From a Space to the text of a space file that reads back as the same space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from io import StringIO
from textwrap import wrap
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from search.sentences import Value
from spaces.parameter import Fixed, Float, Integer, Parameter
from spaces.space import Space

WIDTH = 112  # columns


def space_text(space: Space, *, head: Iterable[str] = (), comments: Mapping[str, str] = {}) -> str:
    """The space as YAML: `head` are the comments on top, `comments` those above a parameter, by its name.

    A fixed value with a condition cannot be written: make it a choice of one option.
    """
    file = CommentedMap(description=space.description, family=space.family)
    if space.length:
        file["length"] = _flow(asdict(space.length))
    for parameter in space.parameters[1:]:  # the first one is the family
        _insert(file, parameter.name, _entry(parameter), level=0, comment=comments.get(parameter.name, ""))
    if space.constraints:
        file["constraints"] = CommentedMap({name: _flow({"max": maximum}) for name, maximum in space.limits.items()})
    if space.baselines:
        file["baselines"] = CommentedMap()
    varying = [parameter.name for parameter in space.parameters if not isinstance(parameter.kind, Fixed)]
    for baseline in space.baselines:
        file["baselines"][baseline.name] = values = CommentedMap()
        for name in (name for name in varying if name in baseline.values):
            _insert(values, name, baseline.values[name], level=2)
        for group in values.values():
            if isinstance(group, CommentedMap) and len(str(group)) <= WIDTH:
                group.fa.set_flow_style()
    for part in [*file][3 if space.length else 2 :]:
        file.yaml_set_comment_before_after_key(part, before="\n")
    writer = YAML()
    writer.width = WIDTH
    text = StringIO()
    writer.dump(file, text)
    return "".join(f"# {line}\n" for each in head for line in _comment(each)) + text.getvalue()


def _insert(tree: CommentedMap, name: str, value: Any, *, level: int, comment: str = "") -> None:
    """Add a value below the parts of its name; below a mapping only while it is the last: their order counts."""
    part, _, rest = name.partition(".")
    key = int(part) if part.isdecimal() and part == str(int(part)) else part
    if rest and (key not in tree or key == next(reversed(tree))):
        _insert(tree.setdefault(key, CommentedMap()), rest, value, level=level + 1, comment=comment)
        return
    key = name if rest else key
    tree[key] = value
    if comment:
        lines = "\n".join(_comment(comment, level=level))
        tree.yaml_set_comment_before_after_key(key, before=lines, indent=2 * level)


def _entry(parameter: Parameter) -> Any:
    """`{integer: [16, 40], step: 8}`."""
    kind = parameter.kind
    if isinstance(kind, Fixed):
        assert not parameter.when, f"{parameter.name}: a space file knows no condition of a fixed value"
        return kind.value
    name = type(kind).__name__.lower()
    if isinstance(kind, Float | Integer):
        entry = {name: _flow((kind.low, kind.high)), "log": kind.log, "step": kind.step}
        usual = {"log": False, "step": 1 if isinstance(kind, Integer) else None}
        entry = {key: value for key, value in entry.items() if key not in usual or value != usual[key]}
    else:
        entry = {name: _flow(kind.options)}
    if parameter.when:
        when = {name: options[0] if len(options) == 1 else _flow(options) for name, options in parameter.when.items()}
        entry["when"] = _flow(when)
    return _flow(entry)


def _flow(content: dict[str, Any] | tuple[Value, ...]) -> CommentedMap | CommentedSeq:
    """A mapping or a list that is written on one line."""
    node = CommentedMap(content) if isinstance(content, dict) else CommentedSeq(content)
    node.fa.set_flow_style()
    return node


def _comment(text: str, *, level: int = 0) -> list[str]:
    printable = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return wrap(printable, WIDTH - 2 * level, break_long_words=False)
