"""Every shipped space file after random damage: it loads or is refused with a SpaceError, in little time and memory."""

from __future__ import annotations

import json
import re
import resource
from dataclasses import dataclass
from pathlib import Path
from random import Random
from subprocess import PIPE
from time import process_time

import pytest
from space_texts import loads_or_explains

from spaces.loader import shipped_spaces

MOST_SECONDS = 1.0  # of processor time for one text; a busy machine is no slow parser
MOST_BYTES = 200_000_000  # of address space for all texts together, beyond what the program has before the first

SPACES = Path(__file__).parents[2] / "spaces"

TOKENS = """
    float integer choice ordered log step when max trial retrain length architecture recipe constraints baselines family
    description stages width depth kernel 0 1 2 -1 1e-3 1e309 .inf .nan 010 0x1F 99999999999999999999 true off null ~ ''
    '1' [] {} [1,2] {a:1} architecture.stages recipe.momentum fast cnn residual cell mlp transfer none relu
""".split()  # noqa: SIM905 - a list would fill a page
SPECIALS = [
    *("&a ", "*a", "<<: *a", "!!python/object/apply:os.system ", "!!str ", "---\n", "...\n", "%YAML 1.1\n", "? ", "- "),
    *(": ", ":", "{", "}", "[", "]", ",", "#", "|\n", ">\n", "'", '"', "\t", "\r", "\0", "\x85", "\u2028", "\ufeff"),
    *("@", "`", "\\x1b", "\x1b[31m", "\U0001f600", "[" * 60, "{a: " * 60, "- " * 60, "&a [" * 9 + "*a" + "]" * 9),
]


def flipped(text: str, rng: Random) -> str:
    """One to eight bytes are others."""
    content = bytearray(text.encode())
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content.decode(errors="replace" if rng.random() < 0.5 else "ignore")


def with_other_lines(text: str, rng: Random) -> str:
    """Lines are missing, doubled, swapped, or indented otherwise."""
    lines = text.splitlines(keepends=True)
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[first : first + rng.choice([1, 1, 2, 10])]
        case 1:
            lines.insert(first, lines[second])
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case 3:
            lines[first] = " " * rng.randint(0, 9) + lines[first].lstrip()
    return "".join(lines)


def with_another_token(text: str, rng: Random) -> str:
    """A word or a number is another one, or one of the same file."""
    words = text.split(" ")
    words[rng.randrange(len(words))] = rng.choice([*TOKENS, rng.choice(words)])
    return " ".join(words)


def with_a_special(text: str, rng: Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(SPECIALS) + text[at:]


def cut(text: str, rng: Random) -> str:
    return text[: rng.randrange(len(text))]


def repeated(text: str, rng: Random) -> str:
    """A part of it, many times over."""
    start = rng.randrange(len(text))
    part = text[start : start + rng.choice([1, 20, 200])]
    return text[:start] + part * rng.choice([10, 1000, 3000]) + text[start:]


MUTATIONS = [flipped, *[with_other_lines] * 4, with_another_token, with_a_special, cut, repeated]


def damaged(texts: list[str], rng: Random) -> str:
    """One of the files, or two spliced, after one to four mutations."""
    text = rng.choice(texts)
    if rng.random() < 0.15:
        other = rng.choice(texts)
        text = text[: rng.randrange(len(text))] + other[rng.randrange(len(other)) :]
    for _ in range(rng.choice([1, 1, 2, 4])):
        text = rng.choice(MUTATIONS)(text or "a: 1\n", rng)
    return text


@dataclass(kw_only=True)
class Measured:
    """What a run over many texts found; it crosses from the child as JSON."""

    texts: int = 0
    loaded: int = 0
    seconds: float = 0.0  # of processor time, together
    slowest: float = 0.0  # the longest of one text
    grown: int = 0  # bytes by which the peak of resident memory rose


def measure(count: int, *, seed: int) -> Measured:
    """Load so many damaged texts with little address space left; whatever is no SpaceError is raised."""
    texts = [(SPACES / f"{name}.yaml").read_text(encoding="utf-8") for name in shipped_spaces()]
    for text in texts:
        loads_or_explains(text)  # what is made once, such as the checks of the fields, is no part of a text's cost
    limit = _address_space() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    found, before = Measured(texts=count), _peak()
    for number in range(count):
        text = damaged(texts, Random(f"{seed} {number}"))
        start = process_time()
        try:
            found.loaded += loads_or_explains(text)
        except Exception as error:
            raise AssertionError(f"text {number} of seed {seed}: {text!r}") from error
        seconds = process_time() - start
        found.slowest, found.seconds = max(found.slowest, seconds), found.seconds + seconds
    found.grown = _peak() - before
    return found


def _peak() -> int:
    """Bytes; of this program alone, where ru_maxrss begins with what the process that started it had."""
    (line,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) * 1024


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def refuses_gently(count: int, *, seed: int) -> Measured:
    """The same in a process of its own, whose memory nobody else touches."""
    from tiny import python  # Optuna comes with it, which the child does without

    code = f"import dataclasses, json; from security import test_fuzz as t; m = t.measure({count}, seed={seed})"
    with python(f"{code}; print(json.dumps(dataclasses.asdict(m)))", stdout=PIPE, stderr=PIPE) as child:
        output, errors = child.communicate()
    assert child.returncode == 0, errors[-4000:]
    found = Measured(**json.loads(output))
    assert found.texts == count
    assert found.slowest < MOST_SECONDS
    assert found.grown < MOST_BYTES
    assert 0.02 < found.loaded / count < 0.5  # damage that always or never matters would test little
    return found


def test_a_damaged_space_file_loads_or_is_refused_in_little_time_and_memory() -> None:
    refuses_gently(400, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_thousand_damaged_space_files_load_or_are_refused() -> None:
    print(refuses_gently(20_000, seed=2))


def test_the_limit_on_memory_bites() -> None:
    from tiny import python

    greedy = "t.loads_or_explains = lambda *_: bytearray(2 * t.MOST_BYTES)"
    with python(
        f"from security import test_fuzz as t; {greedy}; t.measure(1, seed=0)", stdout=PIPE, stderr=PIPE
    ) as child:
        assert "MemoryError" in child.communicate()[1]
