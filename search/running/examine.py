"""From a space to candidates that may be trained: built, counted, and held against its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from search.candidate import FAMILIES, Candidate, CandidateError, Check, Value, checks, from_values
from search.networks.blocks import NetworkError
from search.networks.count import Cost, cost
from search.training.memory import training_bytes
from spaces import Space, load_space

LATENCY = "latency_ms"  # of one image, measured on a slot before a training; the others are counted before that
MEASURES = ("parameters", "flops", "memory_mb", LATENCY)
"""What a constraint may limit, and what a study may make small beside its accuracy."""


def load(name: str) -> Space:
    """A space by the name of a shipped one or by its file. Raises SpaceError."""
    return load_space(name, families=families(), measures=MEASURES)


def families() -> dict[str, dict[str, Check]]:
    """For each family the names that its spaces and baselines may use, with the check of their values."""
    return {family: checks(family) for family in FAMILIES}


@dataclass(frozen=True, kw_only=True)
class Examined:
    """Values that may be trained, or why not."""

    candidate: Candidate | None
    cost: Cost | None
    numbers: dict[str, float] = field(default_factory=dict)  # what was counted, by measure
    violations: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


def examine(space: Space, values: Mapping[str, Value]) -> Examined:
    """Build the candidate, count its network, and hold it against the limits of the space."""
    try:
        candidate = from_values(values)
        counted = cost(candidate.architecture)
    except (CandidateError, NetworkError) as error:
        return Examined(candidate=None, cost=None, problem=str(error))
    numbers = measures(candidate, counted)
    violations = space.violations(numbers)
    over = [f"{name} {numbers[name]:,.0f}" for name, violation in violations.items() if violation > 0]
    problem = f"over the limit of the space: {', '.join(over)}" if over else ""
    return Examined(candidate=candidate, cost=counted, numbers=numbers, violations=violations, problem=problem)


def measures(candidate: Candidate, counted: Cost) -> dict[str, float]:
    """All that is known of a candidate before a slot has seen it."""
    return {
        "parameters": counted.parameters,
        "flops": counted.flops,
        "memory_mb": training_bytes(counted, candidate.recipe) / 1e6,
    }
