"""A YAML text as plain data that remembers the line of every entry and the problems found so far."""

import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from ruamel.yaml import YAML, events
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode

from search.sentences import Value
from spaces.parameter import LARGEST_INTEGER
from spaces.space import Problem, SpaceError

Place = tuple[str | int, ...]  # the keys and list positions that lead to an entry

MOST_BYTES = 200_000  # a shipped file has at most 6,000; the parser takes up to 1.5 seconds for a million
MOST_DEPTH = 50
MOST_NODES = 5_000  # a shipped space has some 200
MOST_PROBLEMS = 200

_UNPRINTABLE = re.compile(  # all but the printable characters of YAML (yaml.org/spec/1.2.2, section 5.1)
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_RESOLVER = YAML(typ="safe", pure=True).resolver


class Document:
    """`data` is mappings with text keys, lists and values; None stands for what is reported already.

    What is no YAML at all, or too large, raises SpaceError at once; every other problem waits for `finish`.
    """

    def __init__(self, content: bytes, *, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._lines: dict[Place, int] = {}
        self._refused: set[Place] = set()
        self._last_line = len(content.splitlines())  # the parser marks what is missing at the end one line beyond it
        self.data = self._read(content)

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

    def _read(self, content: bytes) -> dict[str, Any]:
        if len(content) > MOST_BYTES:
            self._stop(0, f"is larger than {MOST_BYTES} bytes: that is no space file")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._stop(line, "a space file must be UTF-8 text", hint="save it as UTF-8")
        if odd := _UNPRINTABLE.search(text):
            self._stop(text.count("\n", 0, odd.start()) + 1, "there must be no control characters", odd.group())
        self._events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)
        data = None
        try:
            for event in self._events:
                if isinstance(event, events.NodeEvent) and self._lines:
                    self._stop(_line(event), "a space file is one document, and here starts another")
                elif isinstance(event, events.NodeEvent):
                    data = self._node(event, (), _line(event))
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
        if len(place) > MOST_DEPTH or len(self._lines) > MOST_NODES:
            self._stop(line, f"a space file has at most {MOST_DEPTH} levels and {MOST_NODES} entries")
        plain = self._plain(event)
        value: Any = None
        if isinstance(event, events.MappingStartEvent):
            value = {}
            while not isinstance(name := next(self._events), events.MappingEndEvent):
                self._plain(name)
                if not isinstance(name, events.ScalarEvent):
                    self._stop(_line(name), f"a name in {dotted(place)} must be plain text")
                at = (*place, name.value)
                if name.value in value:
                    self._add(_line(name), f"{dotted(at)} is there twice, first on line {self._lines[at]}")
                value.setdefault(name.value, self._node(next(self._events), at, _line(name)))
        elif isinstance(event, events.SequenceStartEvent):
            value = []
            while not isinstance(below := next(self._events), events.SequenceEndEvent):
                value.append(self._node(below, (*place, len(value)), _line(below)))
        elif isinstance(event, events.ScalarEvent):
            try:
                value = scalar(event.value) if event.implicit[0] else event.value
            except ValueError as error:
                self._add(line, f"{dotted(place)} {error}")
        if value is None or not plain:
            self._refused.add(place)
            return None
        return value

    def _plain(self, event: Any) -> bool:
        """Report an anchor, an alias or a tag; whether the value can be used without it."""
        line = _line(event)
        if event.anchor is not None:
            self._add(line, "anchors and aliases (&name, *name) are not allowed", hint="write the value out")
        if isinstance(event, events.AliasEvent):
            return False
        if event.tag is not None:
            self._add(line, "tags are not allowed", event.tag, hint="write the value without")
        return event.tag is None


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


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
        if len(text) > 20 or abs(int(text, 0)) > LARGEST_INTEGER:
            raise ValueError(f"is an integer beyond 2^53: {text[:20]}")
        return int(text, 0)
    if tag == "float":
        if text[-1] not in ".0123456789" or not math.isfinite(float(text)):  # the former for .inf and .nan
            raise ValueError(f"must be a finite number, not {text[:20]}")
        return float(text)
    return str(text)


def dotted(place: Place) -> str:
    """The name of an entry for a message."""
    name = ".".join(part for part in place if isinstance(part, str)) or "the file"
    return name if len(name) <= 100 else name[:97] + "..."
