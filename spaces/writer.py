"""From a Space to the text of a space file that reads back as the same space."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap

from spaces.document import core_value
from spaces.parameter import Choice, Fixed, Float, Integer, Kind, Ordered, Parameter, Value
from spaces.space import Baseline, Space

WIDTH = 112  # columns of a comment or of an entry on one line
NARROW = 80  # columns of entries for several stages on one line; longer ones get a line each

_WORDS = re.compile(r"[A-Za-z_][\w ,.;()/-]*(?<! )", re.ASCII)  # YAML takes such text for itself without quotes

Tree = dict[str, "Tree | str"]
"""Entries by key, nested as in the file; at a leaf the text of the value."""


def space_text(space: Space, *, head: Iterable[str] = (), comments: Mapping[str, str] = {}) -> str:
    """The space as YAML: `head` are the comments on top, `comments` those above a parameter, by its name.

    What it cannot say is a fixed value with a condition: write a choice of one option instead.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in space.parameters[1:]:  # the first one is the family
        group, _, name = parameter.name.partition(".")
        groups.setdefault(group, []).append((name, _entry(parameter)))
    lines = [*(line for text in head for line in _comment(text, 0)), f"description: {_words(space.description)}"]
    lines.append(f"family: {_scalar(space.family)}")
    if space.length:
        lines.append(f"length: {{trial: {space.length.trial}, retrain: {space.length.retrain}}}")
    for group, entries in groups.items():
        inner = {name.partition(".")[2]: text for name, text in comments.items() if name.startswith(f"{group}.")}
        lines += ["", f"{group}:", *_block(_tree(entries), 1, comments=inner)]
    if space.constraints:
        limits = (f"  {_scalar(limit.measure)}: {{max: {_large(limit.maximum)}}}" for limit in space.constraints)
        lines += ["", "constraints:", *limits]
    if space.baselines:
        lines += ["", "baselines:"]
        for baseline in space.baselines:
            lines += _comment(comments.get(f"baselines.{baseline.name}", ""), 1)
            tree = _tree(_drawn(space, baseline))
            lines += [f"  {_scalar(baseline.name)}:" + ("" if tree else " {}"), *_block(tree, 2, width=WIDTH)]
    return "\n".join(lines) + "\n"


def _drawn(space: Space, baseline: Baseline) -> list[tuple[str, str]]:
    """Its values in the order of the file, without those that the space fixes."""
    varying = [parameter.name for parameter in space.parameters if not isinstance(parameter.kind, Fixed)]
    return [(name, _scalar(baseline.values[name])) for name in varying if name in baseline.values]


def _tree(entries: Iterable[tuple[str, str]]) -> Tree:
    """Nested by the parts of the names; one that comes back to a mapping after another entry keeps its dots there."""
    tree: Tree = {}
    last: tuple[str, ...] = ()
    for name, text in entries:
        parts = name.split(".")
        node, depth = tree, 0
        while depth < len(last) - 1 and parts[depth] == last[depth] and depth < len(parts) - 1:
            inner = node[parts[depth]]
            assert isinstance(inner, dict)
            node, depth = inner, depth + 1
        last = tuple(parts[:depth])
        if parts[depth] in node:  # closed: the order of the parameters is part of the space
            parts[depth:] = [".".join(parts[depth:])]
        for part in parts[depth:-1]:
            inner = node.setdefault(part, {})
            assert isinstance(inner, dict)
            node = inner
        node[parts[-1]] = text
        last = tuple(parts)
    return tree


def _block(tree: Tree, level: int, *, comments: Mapping[str, str] = {}, width: int = NARROW) -> Iterator[str]:
    indent = "  " * level
    for key, value in tree.items():
        inner = {name.removeprefix(f"{key}."): text for name, text in comments.items() if name.startswith(f"{key}.")}
        yield from _comment(comments.get(key, ""), level)
        line = f"{indent}{_scalar(key, key=True)}: {_flow(value)}"
        if isinstance(value, str) or (len(line) <= width and not inner):
            yield line
        else:
            yield f"{indent}{_scalar(key, key=True)}:"
            yield from _block(value, level + 1, comments=inner, width=width)


def _flow(value: Tree | str) -> str:
    if isinstance(value, str):
        return value
    return "{" + ", ".join(f"{_scalar(key, key=True)}: {_flow(inner)}" for key, inner in value.items()) + "}"


def _comment(text: str, level: int) -> list[str]:
    printable = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return ["  " * level + f"# {line}" for line in wrap(printable, WIDTH - 2 * level, break_long_words=False)]


def _entry(parameter: Parameter) -> str:
    """`{integer: [16, 40], step: 8}`."""
    fields = _fields(parameter.kind)
    if isinstance(parameter.kind, Fixed):
        assert not parameter.when, f"{parameter.name}: a space file knows no condition of a fixed value"
        return _scalar(parameter.kind.value)
    if parameter.when:
        conditions = (f"{_scalar(name)}: {_options(options)}" for name, options in parameter.when.items())
        fields.append(f"when: {{{', '.join(conditions)}}}")
    return f"{{{', '.join(fields)}}}"


def _fields(kind: Kind) -> list[str]:
    match kind:
        case Float() | Integer():
            name = "float" if isinstance(kind, Float) else "integer"
            step = [] if kind.step is None or (name == "integer" and kind.step == 1) else [f"step: {kind.step!r}"]
            return [f"{name}: [{kind.low!r}, {kind.high!r}]", *(["log: true"] if kind.log else []), *step]
        case Choice() | Ordered():
            name = "choice" if isinstance(kind, Choice) else "ordered"
            return [f"{name}: [{', '.join(map(_scalar, kind.options))}]"]
        case Fixed():
            return []


def _options(options: tuple[Value, ...]) -> str:
    return _scalar(options[0]) if len(options) == 1 else f"[{', '.join(map(_scalar, options))}]"


def _scalar(value: Value, *, key: bool = False) -> str:
    """A single value, in quotes where YAML would take it for something else; a key is always text."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    if key and value.isascii() and value.isdecimal():
        return value
    return (
        value if " " not in value and re.fullmatch(r"[\w./-]*", value, re.ASCII) and _plain(value) else _quoted(value)
    )


def _words(text: str) -> str:
    return text if _plain(text) else _quoted(text)


def _plain(text: str) -> bool:
    try:
        return _WORDS.fullmatch(text) is not None and isinstance(core_value(text), str)
    except ValueError:
        return False


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _large(number: float) -> str:
    """120e6 rather than 120000000.0."""
    millions = f"{number / 1e6!r}".removesuffix(".0") + "e6"
    return millions if 1e6 <= number < 1e12 and float(millions) == number else repr(number)
