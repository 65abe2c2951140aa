"""A YAML text as plain data that remembers the line of every entry and the problems found so far."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import yaml

from spaces.parameter import LARGEST_INTEGER, Value
from spaces.space import Problem, SpaceError

Place = tuple[str | int, ...]
"""The keys and list positions that lead to an entry."""

MOST_BYTES = 1_000_000
MOST_DEPTH = 50
MOST_NODES = 5_000  # a shipped space has some 200; with the limits above it keeps any text under a second
MOST_PROBLEMS = 200
MOST_LISTED = 12  # known names that a hint lists in full

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # only its parser is used: it constructs nothing

# The scalars of YAML 1.2's core schema (yaml.org/spec/1.2.2, section 10.3.2); PyYAML itself reads those of 1.1.
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class Refused:
    """Stands in the data for a value whose problem is already reported."""

    def __repr__(self) -> str:
        return "..."


REFUSED = Refused()


class Document:
    """One text, read once: `data` is mappings with text keys, lists, values and REFUSED.

    What is no YAML at all, or too large, raises SpaceError at once; every other problem waits for `finish`.
    """

    def __init__(self, text: str, *, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._lines: dict[Place, int] = {}
        self._refused: set[Place] = set()
        self._nodes = 0
        self._last = len(text.splitlines())  # what is missing at the end is marked one line beyond it
        self.data = self._read(text)

    def at(self, place: Place) -> Any:
        """The entry at a place."""
        node = self.data
        for key in place:
            node = node[key]
        return node

    def mapping(self, place: Place) -> dict[str, Any]:
        """The mapping at a place, empty where there is none."""
        node: Any = self.data
        for key in place:
            node = node.get(key) if isinstance(node, dict) else None
        return node if isinstance(node, dict) else {}

    def leaves(self, place: Place) -> Iterator[Place]:
        """The places below this one that hold no mapping, in the order of the file."""
        for key in self.mapping(place):
            if isinstance(self.at((*place, key)), dict):
                yield from self.leaves((*place, key))
            else:
                yield (*place, key)

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
        self.problems.append(Problem(self.file, min(line, self._last), rule, value, hint))
        if len(self.problems) == MOST_PROBLEMS:
            self._stop(line, f"has {MOST_PROBLEMS} mistakes or more; the rest is not looked for")

    def _stop(self, line: int, rule: str, value: object = None, hint: str = "") -> NoReturn:
        raise SpaceError([*self.problems, Problem(self.file, min(line, self._last), rule, value, hint)])

    def _read(self, text: str) -> Any:
        if len(text.encode(errors="replace")) > MOST_BYTES:
            self._stop(0, f"is larger than {MOST_BYTES} bytes: that is no space file")
        if odd := yaml.reader.Reader.NON_PRINTABLE.search(text):
            self._stop(text.count("\n", 0, odd.start()) + 1, "there must be no control characters", odd.group())
        try:
            self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
            next(self._events)  # the start of the stream
            if isinstance(next(self._events), yaml.StreamEndEvent):
                self._stop(0, "is empty", hint="a space has at least description, family, architecture and recipe")
            root: Any = next(self._events)
            data = self._node(root, (), root.start_mark.line + 1)
            next(self._events)  # the end of the document
            another: Any = next(self._events)
            if not isinstance(another, yaml.StreamEndEvent):
                self._add(another.start_mark.line + 1, "a space file is one document, and here starts another")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = text.splitlines()[mark.line : mark.line + 1] if mark else []
            tab = any("\t" in part[: len(part) - len(part.lstrip())] for part in line)
            rule = f"is not YAML: {error.problem or error.context}"
            self._stop(mark.line + 1 if mark else 0, rule, hint="indent with spaces, not tabs" if tab else "")
        except yaml.YAMLError as error:
            self._stop(0, f"is not YAML: {' '.join(str(error).split())}")
        if not isinstance(data, dict):
            self._stop(self._lines[()], "a space file is a mapping of names to values", data)
        return data

    def _node(self, event: Any, place: Place, line: int) -> Any:
        self._lines.setdefault(place, line)
        self._nodes += 1
        if len(place) > MOST_DEPTH or self._nodes > MOST_NODES:
            self._stop(line, f"a space file has at most {MOST_DEPTH} levels and {MOST_NODES} entries")
        allowed = self._plain(event)
        value: Any = REFUSED
        if isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(place)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(below := next(self._events), yaml.SequenceEndEvent):
                value.append(self._node(below, (*place, len(value)), below.start_mark.line + 1))
        elif allowed:
            try:
                value = core_value(event.value) if event.implicit[0] else event.value
            except ValueError as error:
                self._add(line, f"{dotted(place)} {error}")
        if value is REFUSED or not allowed:
            self._refused.add(place)
            return REFUSED
        return value

    def _mapping(self, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        first: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            self._plain(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._stop(line, f"a name in {dotted(place)} must be plain text")
            key = event.value
            if key in first:
                self._add(line, f"{dotted((*place, key))} is there twice, first on line {first[key]}")
            value = self._node(next(self._events), (*place, key), line)
            if key not in first:
                found[key], first[key] = value, line
        return found

    def _plain(self, event: Any) -> bool:
        """Report an anchor, an alias or a tag; whether the node's own value can be used."""
        line = event.start_mark.line + 1
        if event.anchor is not None:
            self._add(line, "anchors and aliases (&name, *name) are not allowed", hint="write the value out")
        if getattr(event, "tag", None) is not None:
            self._add(line, "tags are not allowed", event.tag, hint="write the value without")
            return False
        return not isinstance(event, yaml.AliasEvent)


def core_value(text: str) -> Value:
    """A plain scalar by YAML 1.2's core schema; ValueError says why it is none."""
    if text in ("", "~", "null", "Null", "NULL"):
        raise ValueError("is empty: give a value or leave the name out")
    if text.lower() in ("true", "false") and text in (text.lower(), text.upper(), text.capitalize()):
        return text.lower() == "true"
    if _WHOLE.fullmatch(text):
        if re.match(r"[-+]?0[0-9]", text):
            raise ValueError(f"is ambiguous: some read {text[:20]} as octal; write it without the leading zero")
        whole = int(text, 0) if len(text) <= 20 else LARGEST_INTEGER + 1
        if abs(whole) > LARGEST_INTEGER:
            raise ValueError(f"is an integer beyond 2^53: {text[:20]}")
        return whole
    if _REAL.fullmatch(text) and math.isfinite(real := float(text)):
        return real
    if _REAL.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        raise ValueError(f"must be a finite number, not {text[:20]}")
    return text


def dotted(place: Place) -> str:
    """The entry's name for a message."""
    name = ".".join(part for part in place if isinstance(part, str)) or "the file"
    return name if len(name) <= 100 else name[:97] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint for an unknown name: the nearest known one, and all of them if they are few."""
    names = [*known]
    close = difflib.get_close_matches(name, names, n=8) if len(name) <= 100 else []
    # Of equally near ones the first: width.1, where difflib alone would say width.8.
    near = sorted(close, key=lambda match: (-difflib.SequenceMatcher(None, match, name).ratio(), match))[:1]
    hints = [f"nearest: {near[0]}"] if near else []
    if len(names) <= MOST_LISTED or not near:
        hints.append("known: " + ", ".join(names[:MOST_LISTED]) + ", ..." * (len(names) > MOST_LISTED))
    return "; ".join(hints)
