"""From a space to candidates that may be trained: built, counted, and held against its limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from search.candidate import FAMILIES, Candidate, CandidateError, Value, from_values
from search.description import ImageShape
from search.networks import build
from search.networks.blocks import NetworkError
from search.networks.count import Cost, cost
from spaces import Space
from spaces.parameter import Fixed


def fetch_weights(space: Space) -> None:
    """Fetch the weights of every network that may be drawn, before a study begins. Raises WeightsError."""
    family: Any = FAMILIES[space.family]  # the fields of each family differ
    kinds: dict[str, Any] = {parameter.name: parameter.kind for parameter in space.parameters}
    drawn = {name: kinds[f"architecture.{name}"] for name in build.WEIGHTS_FIELDS if f"architecture.{name}" in kinds}
    for options in product(*((kind.value,) if isinstance(kind, Fixed) else kind.options for kind in drawn.values())):
        build.fetch_weights(family(**dict(zip(drawn, options, strict=True))))


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """Values that may be trained, or why not."""

    candidate: Candidate | None
    cost: Cost | None
    numbers: dict[str, float] = field(default_factory=dict)  # what was counted, by measure
    violations: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


def examine(space: Space, values: Mapping[str, Value], *, images: ImageShape) -> Feasibility:
    """Build the candidate, count its network for such images, and hold it against the limits of the space."""
    try:
        candidate = from_values(values)
        counted = cost(candidate.architecture, images=images)
    except (CandidateError, NetworkError) as error:
        return Feasibility(candidate=None, cost=None, problem=str(error))
    memory_mb = counted.training_bytes(candidate.recipe) / 1e6
    numbers = {"parameters": counted.parameters, "flops": counted.flops, "memory_mb": memory_mb}
    violations = space.violations(numbers, side=images.side)
    over = [f"{name} {numbers[name]:,.0f}" for name, violation in violations.items() if violation > 0]
    problem = f"over the limit of the space: {', '.join(over)}" if over else ""
    return Feasibility(candidate=candidate, cost=counted, numbers=numbers, violations=violations, problem=problem)
