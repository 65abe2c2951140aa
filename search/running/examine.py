"""From a space to candidates that may be trained: built, counted, and held against its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from search.candidate import FAMILIES, Candidate, CandidateError, Value, checks, from_values
from search.networks.blocks import NetworkError
from search.networks.count import MEASURES, Cost, cost
from spaces import Space, load_space


def load(name: str) -> Space:
    """A space by the name of a shipped one or by its file. Raises SpaceError."""
    return load_space(name, families={family: checks(family) for family in FAMILIES}, measures=MEASURES)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """Values that may be trained, or why not."""

    candidate: Candidate | None
    cost: Cost | None
    violations: Mapping[str, float]
    problem: str = ""

    @property
    def numbers(self) -> dict[str, float]:
        """What was counted, by name."""
        return self.cost.measures() if self.cost else {}


def examine(space: Space, values: Mapping[str, Value]) -> Examined:
    """Build the candidate, count its network, and hold it against the limits of the space."""
    try:
        candidate = from_values(values)
        counted = cost(candidate.architecture)
    except (CandidateError, NetworkError) as error:
        return Examined(candidate=None, cost=None, violations={}, problem=str(error))
    violations = space.violations(counted.measures())
    over = [f"{name} {counted.measures()[name]:,.0f}" for name, violation in violations.items() if violation > 0]
    problem = f"over the limit of the space: {', '.join(over)}" if over else ""
    return Examined(candidate=candidate, cost=counted, violations=violations, problem=problem)
