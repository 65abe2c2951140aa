"""What the README shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from search.candidate import FAMILIES, checks
from search.networks.count import MEASURES
from search.running.examine import examine
from spaces.loader import parse_space

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_example_space_loads_and_its_baseline_may_be_trained() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    families = {family: checks(family) for family in FAMILIES}

    space = parse_space(example, name="mine", source="README.md", families=families, measures=MEASURES)

    assert not examine(space, space.baselines[0].values).problem


def test_the_names_of_the_example_in_python_are_there() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)

    compile(example, "README.md", "exec")
    for name in re.findall(r"^from (\S+) import (\S+)$", example, flags=re.MULTILINE):
        module = __import__(name[0], fromlist=[name[1]])
        assert hasattr(module, name[1])
