"""From a space to candidates that may be trained: built, counted, and held against its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from search.candidate import FAMILIES, Candidate, CandidateError, Value, from_values
from search.networks import build
from search.networks.blocks import NetworkError
from search.networks.count import Cost, cost
from spaces import Space
from spaces.parameter import Choice, Fixed, Kind, Ordered


def fetch_weights(space: Space) -> None:
    """Have the weights of every network that may be drawn on this machine, before a study begins.

    Raises WeightsError.
    """
    family: Any = FAMILIES[space.family]  # the fields of each family differ
    kinds = {parameter.name: parameter.kind for parameter in space.parameters}
    names = [name for name in build.WEIGHTS_FIELDS if f"architecture.{name}" in kinds]
    for options in product(*(_options(kinds[f"architecture.{name}"]) for name in names)):
        build.fetch_weights(family(**dict(zip(names, options, strict=True))))


def _options(kind: Kind) -> tuple[Value, ...]:
    return kind.options if isinstance(kind, Choice | Ordered) else (kind.value,) if isinstance(kind, Fixed) else ()


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """Values that may be trained, or why not."""

    candidate: Candidate | None
    cost: Cost | None
    numbers: dict[str, float] = field(default_factory=dict)  # what was counted, by measure
    violations: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


def examine(space: Space, values: Mapping[str, Value]) -> Feasibility:
    """Build the candidate, count its network, and hold it against the limits of the space."""
    try:
        candidate = from_values(values)
        counted = cost(candidate.architecture)
    except (CandidateError, NetworkError) as error:
        return Feasibility(candidate=None, cost=None, problem=str(error))
    numbers = measures(candidate, counted)
    violations = space.violations(numbers)
    over = [f"{name} {numbers[name]:,.0f}" for name, violation in violations.items() if violation > 0]
    problem = f"over the limit of the space: {', '.join(over)}" if over else ""
    return Feasibility(candidate=candidate, cost=counted, numbers=numbers, violations=violations, problem=problem)


def measures(candidate: Candidate, counted: Cost) -> dict[str, float]:
    """All that is known of a candidate before a slot has seen it."""
    memory_mb = counted.training_bytes(candidate.recipe) / 1e6
    return {"parameters": counted.parameters, "flops": counted.flops, "memory_mb": memory_mb}
