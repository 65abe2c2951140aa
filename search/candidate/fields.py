"""The types of a candidate's fields, each with the bounds of its values; a text among them says what a field is."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field

T = TypeVar("T")
STRICT = ConfigDict(extra="forbid", strict=True)
MOST_STAGES = 8  # a field with an entry for each stage may be named up to `width.8` in a space file

Activation = Annotated[Literal["relu", "gelu", "silu"], "between the layers"]
Width = Annotated[int, Field(ge=1, le=4096)]  # channels or neurons
Depth = Annotated[int, Field(ge=1, le=16)]
Kernel = Annotated[int, Field(ge=1, le=31)]
Pool = Annotated[int, Field(ge=1, le=8)]
Share = Annotated[float, Field(ge=0, lt=1)]


def _spread(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value,) * MOST_STAGES


Each = Annotated[tuple[T, ...], BeforeValidator(_spread)]
"""One entry for each stage (or layer, or edge); a single value stands for all of them."""


def cut(owner: object, count: int, *names: str, of: str) -> None:
    """Keep the first `count` entries of these fields of a frozen dataclass. Raises ValueError where one has fewer."""
    for name in names:
        given = getattr(owner, name)
        if len(given) < count:
            raise ValueError(f"{name} needs one entry per {of}: {count} wanted, {len(given)} given")
        object.__setattr__(owner, name, tuple(given[:count]))
