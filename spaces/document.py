"""A YAML text as plain data that remembers the line of every entry and the problems found so far."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode

from search.sentences import Value
from spaces.parameter import LARGEST_INTEGER
from spaces.space import Problem, SpaceError

Place = tuple[str | int, ...]
"""The keys and list positions that lead to an entry."""

MOST_BYTES = 200_000  # a shipped file has at most 6,000; the parser takes up to 1.5 seconds for a million
MOST_DEPTH = 50
MOST_NODES = 5_000  # a shipped space has some 200
MOST_PROBLEMS = 200
TOO_LARGE = f"is larger than {MOST_BYTES} bytes: that is no space file"

_UNPRINTABLE = re.compile(  # all but the printable characters of YAML (yaml.org/spec/1.2.2, section 5.1)
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_RESOLVER = YAML(typ="safe", pure=True).resolver


class Document:
    """One text, read once: `data` is mappings with text keys, lists and values, or None for what is reported already.

    What is no YAML at all, or too large, raises SpaceError at once; every other problem waits for `finish`.
    """

    def __init__(self, text: str, *, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._lines: dict[Place, int] = {}
        self._refused: set[Place] = set()
        self._nodes = 0
        self._last_line = len(text.splitlines())  # the parser marks what is missing at the end one line beyond it
        self.data = self._read(text)

    def at(self, place: Place) -> Any:
        """The entry at a place, None where there is none."""
        node: Any = self.data
        for key in place:
            node = node.get(key) if isinstance(node, dict) else None
        return node

    def mapping(self, place: Place) -> dict[str, Any]:
        """The mapping at a place, empty where there is none."""
        node = self.at(place)
        return node if isinstance(node, dict) else {}

    def leaves(self, place: Place) -> Iterator[Place]:
        """The places below this one that hold no mapping, in the order of the file."""
        for key, node in self.mapping(place).items():
            yield from self.leaves((*place, key)) if isinstance(node, dict) else [(*place, key)]

    def add(self, place: Place, rule: str, value: object = None, hint: str = "") -> None:
        """Report a mistake at an entry, unless the entry was refused before."""
        above = [place[:length] for length in range(len(place), -1, -1)]
        if not self._refused.intersection(above):
            self._add(next(self._lines[part] for part in above if part in self._lines), rule, value, hint)

    def finish(self) -> None:
        """Raise SpaceError with every problem, in the order of the file, if there is any."""
        if self.problems:
            raise SpaceError(sorted(self.problems, key=lambda problem: problem.line))

    def _add(self, line: int, rule: str, value: object = None, hint: str = "") -> None:
        self.problems.append(Problem(self.file, min(line, self._last_line), rule, value, hint))
        if len(self.problems) == MOST_PROBLEMS:
            self._stop(line, f"has {MOST_PROBLEMS} mistakes or more; the rest is not looked for")

    def _stop(self, line: int, rule: str, value: object = None, hint: str = "") -> NoReturn:
        raise SpaceError([*self.problems, Problem(self.file, min(line, self._last_line), rule, value, hint)])

    def _read(self, text: str) -> dict[str, Any]:
        if len(text.encode(errors="replace")) > MOST_BYTES:
            self._stop(0, TOO_LARGE)
        if odd := _UNPRINTABLE.search(text):
            self._stop(text.count("\n", 0, odd.start()) + 1, "there must be no control characters", odd.group())
        self._events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)
        data = None
        try:
            for event in self._events:
                line = event.start_mark.line + 1
                if isinstance(event, NodeEvent) and self._lines:
                    self._stop(line, "a space file is one document, and here starts another")
                elif isinstance(event, NodeEvent):
                    data = self._node(event, (), line)
        except (YAMLError, ValueError, OverflowError) as error:  # the last two for escapes such as "\\UFFFFFFFF"
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            line = mark.line + 1 if mark else 0
            tab = re.match(r" *\t", "".join(text.splitlines()[line - 1 : line])) if line else None
            hint = "indent with spaces, not tabs" if tab else "look there and just above for a colon, quote or bracket"
            self._stop(line, "is not YAML", hint=hint)
        if not self._lines:
            self._stop(0, "is empty", hint="a space has at least description, family, architecture and recipe")
        if not isinstance(data, dict):
            self._stop(self._lines[()], "a space file is a mapping of names to values", data)
        return data

    def _node(self, event: Any, place: Place, line: int) -> Any:
        self._lines.setdefault(place, line)
        self._nodes += 1
        if len(place) > MOST_DEPTH or self._nodes > MOST_NODES:
            self._stop(line, f"a space file has at most {MOST_DEPTH} levels and {MOST_NODES} entries")
        plain = self._plain(event)
        value: Any = None
        if isinstance(event, MappingStartEvent):
            value = self._mapping(place)
        elif isinstance(event, SequenceStartEvent):
            value = []
            while not isinstance(below := next(self._events), SequenceEndEvent):
                value.append(self._node(below, (*place, len(value)), below.start_mark.line + 1))
        elif isinstance(event, ScalarEvent):
            try:
                value = scalar(event.value) if event.implicit[0] else event.value
            except ValueError as error:
                self._add(line, f"{dotted(place)} {error}")
        if value is None or not plain:
            self._refused.add(place)
            return None
        return value

    def _mapping(self, place: Place) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            line = event.start_mark.line + 1
            self._plain(event)
            if not isinstance(event, ScalarEvent):
                self._stop(line, f"a name in {dotted(place)} must be plain text")
            key, at = event.value, (*place, event.value)
            if key in entries:
                self._add(line, f"{dotted(at)} is there twice, first on line {self._lines[at]}")
            value = self._node(next(self._events), at, line)
            entries.setdefault(key, value)
        return entries

    def _plain(self, event: Any) -> bool:
        """Report an anchor, an alias or a tag; whether the value can be used without it."""
        line = event.start_mark.line + 1
        if event.anchor is not None:
            self._add(line, "anchors and aliases (&name, *name) are not allowed", hint="write the value out")
        if isinstance(event, AliasEvent):
            return False
        if event.tag is not None:
            self._add(line, "tags are not allowed", event.tag, hint="write the value without")
        return event.tag is None


def scalar(text: str) -> Value:
    """What a text without quotes means in YAML 1.2; ValueError says why it means nothing."""
    tag = "str" if "_" in text else str(_RESOLVER.resolve(ScalarNode, text, (True, False))).rpartition(":")[2]
    if tag == "null":  # with an underscore ruamel reads 1_000 as a number, as YAML 1.1 did
        raise ValueError("is empty: give a value or leave the name out")
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        if re.match(r"[-+]?0[0-9]", text):
            raise ValueError(f"is ambiguous: some read {text[:20]} as octal; write it without the leading zero")
        whole = int(text, 0) if len(text) <= 20 else LARGEST_INTEGER + 1
        if abs(whole) > LARGEST_INTEGER:
            raise ValueError(f"is an integer beyond 2^53: {text[:20]}")
        return whole
    if tag == "float":
        real = float(text) if text[-1] in ".0123456789" else math.inf  # else .inf or .nan
        if not math.isfinite(real):
            raise ValueError(f"must be a finite number, not {text[:20]}")
        return real
    return str(text)


def dotted(place: Place) -> str:
    """The name of an entry for a message."""
    name = ".".join(part for part in place if isinstance(part, str)) or "the file"
    return name if len(name) <= 100 else name[:97] + "..."
