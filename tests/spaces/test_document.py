"""YAML texts: the scalars of YAML 1.2, lines, limits, and nothing but SpaceError for what is no plain document."""

from __future__ import annotations

import contextlib
import time

import pytest

from spaces import SpaceError
from spaces.document import MOST_BYTES, Document, scalar


def document(text: str) -> Document:
    return Document(text.encode(errors="surrogatepass"), file="x.yaml")


def problem(text: str) -> str:
    """The only problem of a text."""
    with pytest.raises(SpaceError) as caught:
        document(text).finish()
    (found,) = caught.value.problems
    return str(found)


WRONG = [
    ("", "x.yaml: is empty", ""),
    ("# nothing\n", "x.yaml: is empty", ""),
    ("[1, 2]", "x.yaml:1: ", "is a mapping of names to values, not [1, 2]"),
    ("a: 1\nb: [", "x.yaml:2: is not YAML", ""),
    ("a: 1\nb: 'c", "x.yaml:2: is not YAML", ""),
    ("a:\n\tb: 1", "x.yaml:2: is not YAML", ""),
    ("a: 1\n b: 2", "x.yaml:2: is not YAML", ""),
    ("a: b: c", "x.yaml:1: is not YAML", ""),
    ("a: b\n\0", "x.yaml:2: ", "control characters, not '\\x00'"),
    ("a: \ud800", "x.yaml:1: ", "must be UTF-8 text, save it as UTF-8"),
    ("a: 1\nb: \udcff\n", "x.yaml:2: ", "must be UTF-8 text"),
    ("a: \x1b[31m", "x.yaml:1: ", "control characters"),
    ("a: 1\n---\nb: 2\n", "x.yaml:3: ", "one document"),
    ("a: 1\nb: 2\na: 3", "x.yaml:3: a is there twice, first on line 1", ""),
    ("a:\n  1: 2\n  '1': 3", "x.yaml:3: a.1 is there twice, first on line 2", ""),
    ("a: &b 1", "x.yaml:1: anchors and aliases", "write the value out"),
    ("a: *b", "x.yaml:1: ", ""),
    ("a: !!python/object/apply:os.system ['true']", "x.yaml:1: tags are not allowed", "python/object/apply"),
    ("a: !!str 1", "x.yaml:1: tags are not allowed", ""),
    ("a:\n\nb: 1", "x.yaml:1: a is empty", ""),
    ("a: {b: 1,\n c\n\n}", "x.yaml:2: a.c is empty", ""),
    ("a:\n- 1\n- ", "x.yaml:3: a is empty", ""),
    ("a: 010", "x.yaml:1: a is ambiguous", ""),
    ("a:\n  - 1\n  - .nan", "x.yaml:3: a must be a finite number", ""),
    ("{{ name }}: 1", "x.yaml:1: ", "must be plain text"),
    ("? [a, b]\n: 1", "x.yaml:1: ", "must be plain text"),
    ("[" * 5000, "x.yaml:1: ", "at most 50 levels"),
    ("{" * 5000, "x.yaml:1: ", "must be plain text"),
    ("\n".join(f"{' ' * level}a:" for level in range(200)), "x.yaml:51: ", "at most 50 levels"),
    ("- " * 5000, "x.yaml:1: ", "at most 50 levels"),
    ("x: [" + "1," * 6000 + "]", "x.yaml:1: ", "5000 entries"),
    ("x: " + "y" * MOST_BYTES, "x.yaml: is larger than 200000 bytes", ""),
    ("x: " + "\u00e9" * (MOST_BYTES // 2), "x.yaml: is larger than 200000 bytes", ""),
]


@pytest.mark.parametrize(("text", "start", "words"), WRONG)
def test_a_text_that_is_no_plain_document_is_one_problem(text: str, start: str, words: str) -> None:
    found = problem(text)
    assert found.startswith(start)
    assert words in found
    assert found.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 199_000, "- " * 99_000, "? " * 99_000, "#" * 199_000, '"' + "a\n" * 99_000, "a: " + "x " * 99_000),
        *("a: " + "9" * 199_000, "a: 1." + "9" * 199_000, "\n".join(f"k{number}: 1" for number in range(19_000))),
    ],
    ids=lambda text: text[:6],
)
def test_a_large_text_takes_under_a_second(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(SpaceError):
        document(text)
    assert time.process_time() - started < 1


def test_a_problem_is_at_the_line_of_its_entry() -> None:
    read = document("a: 1\nb:\n  c: [1,\n      on]\n")
    assert read.data == {"a": 1, "b": {"c": [1, "on"]}}
    for place in [(), ("a",), ("b",), ("b", "c"), ("b", "c", 1), ("b", "no", "such")]:
        read.add(place, "wrong")
    assert [found.line for found in read.problems] == [1, 1, 2, 3, 4, 2]


def test_nothing_more_is_said_about_a_refused_value() -> None:
    read = document("a: [1, !!int 2]\nb: 1")
    assert read.data == {"a": [1, None], "b": 1}
    read.add(("a", 1), "again")
    assert len(read.problems) == 1
    read.add(("a", 0), "another")
    assert len(read.problems) == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("-1E3", -1000.0), (".5", 0.5), ("5.", 5.0), ("1.5e+2", 150.0), ("0", 0), ("+3", 3), ("0x1F", 31)]
    + [("0o17", 15), ("true", True), ("FALSE", False)]
    + [(text, text) for text in ("on", "no", "yes", "off", "tRue", "12:30:45", "1_000", "2001-01-01", "1e", "e3", "=")],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: float | str) -> None:
    read = scalar(text)
    assert (read, type(read)) == (value, type(value))
