"""A space file without a mistake, and texts read as space files."""

from __future__ import annotations

from random import Random

from search import candidate
from search.planning.catalogue import MEASURES
from spaces import Problem, Space, SpaceError
from spaces.loader import parse_space

FAMILIES = {family: candidate.checks(family) for family in candidate.FAMILIES}

GOOD = """\
description: A small space.
family: fast
length: {trial: 4, retrain: 16}
architecture:
  stages: {integer: [2, 4]}
  width:
    1: {integer: [16, 64], step: 16}
    2: {ordered: [32, 64, 128]}
    4: {integer: [32, 128], when: {architecture.stages: 4}}
  activation: {choice: [relu, gelu]}
  kernel.1: 3
recipe:
  learning_rate: {float: [1e-4, 1e-1], log: true}
  momentum: {float: [0.8, 0.95], step: 0.01}
constraints:
  flops: {max: 40e6}
baselines:
  airbench:
    architecture: {stages: 3, width: {1: 32, 2: 64}, activation: gelu}
    recipe.learning_rate: 0.01
    recipe: {momentum: 0.85}
"""


def parse(text: str) -> Space:
    content = text.encode(errors="surrogatepass")
    return parse_space(content, name="t", source="t.yaml", families=FAMILIES, measures=MEASURES)


def loads_or_explains(text: str) -> bool:
    """Whether it loads, as a space that can be drawn from; if not, every problem has a line and can be printed."""
    problems: tuple[Problem, ...] = ()
    try:
        space = parse(text)
    except SpaceError as error:
        problems = error.problems
        assert problems
    else:
        assert space.check(space.sample(Random(0))) == []
        assert not any(space.check(baseline.values) for baseline in space.baselines)
        assert len(space.fingerprint) == 64
    assert all(0 <= problem.line <= len(text.splitlines()) and str(problem).isprintable() for problem in problems)
    return not problems
