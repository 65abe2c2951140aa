"""What is published about CIFAR-10: references with their sources, in ascending order, none of them an offer."""

import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, kw_only=True)
class PublishedResult:
    """One published test accuracy on CIFAR-10."""

    name: str
    year: int
    accuracy: float  # a fraction
    parameters: int | None  # None: the source states none
    extra_data: str  # what was learned from besides the 50,000 training images
    source: str
    note: str = ""


_ROWS = json.loads((files("search.reporting") / "literature.json").read_text(encoding="utf-8"))
PUBLISHED = tuple(PublishedResult(**row) for row in _ROWS)
