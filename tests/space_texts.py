"""A space file without a mistake, and texts read as space files."""

from __future__ import annotations

from search.planning.catalogue import families
from spaces import Space
from spaces.loader import parse_space

FAMILIES = families()
MEASURES = ("flops", "parameters")

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
    return parse_space(text, name="t", source="t.yaml", families=FAMILIES, measures=MEASURES)
