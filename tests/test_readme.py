"""What the README shows works as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

from small_networks import CIFAR10
from space_texts import parse

from search.planning.feasibility import examine

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_space_loads_and_its_baseline_may_be_trained() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)

    space = parse(example)

    assert not examine(space, space.baselines[0].values, images=CIFAR10).problem


def test_the_names_of_the_example_in_python_are_there() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)

    compile(example, "README.md", "exec")
    ((module, names),) = re.findall(r"^from (\S+) import (.+)$", example, flags=re.MULTILINE)
    assert set(names.split(", ")) == set(__import__(module).__all__)


def test_the_table_of_published_recipes_says_what_was_measured() -> None:
    results = [json.loads(path.read_text()) for path in sorted((ROOT / "studies/results/baselines").glob("*.json"))]
    assert {"mlp", "seed002", "seed003", "seed004"} <= {found["baseline"] for found in results}
    for found in results:
        low, high = (f"{100 * end:.2f}" for end in found["interval"])
        minutes = found["budget_minutes"]
        budget = f"{minutes:g} min" if minutes else f"none, {found['seconds'] / 60:.0f} min"
        row = (
            f"| `{found['baseline']}` | {100 * found['reported']:.2f} % | {100 * found['reproduced']:.2f} % "
            f"({low} to {high}) | {found['epochs']} of {found['published_epochs']} | {budget} |"
        )
        assert row in README
