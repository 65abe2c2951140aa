"""The form of a space file: which names it may have, and of which types."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from search.sentences import nearest, sentence
from spaces.document import Document, Place, dotted


def _single(value: Any) -> Any:
    if not isinstance(value, (str, int, float, bool)):
        raise ValueError("must be a single value")
    return value


class Shape(BaseModel):
    """One mapping of a space file: exact names, exact types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LengthShape(Shape):
    trial: Annotated[int, Field(ge=1)]
    retrain: Annotated[int, Field(ge=1)]


class LimitShape(Shape):
    max: Annotated[float, Field(gt=0)]


class FileShape(Shape):
    description: Annotated[str, Field(min_length=1)]
    family: str
    length: LengthShape | None = None
    architecture: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    constraints: dict[str, LimitShape] = {}
    baselines: dict[str, dict[str, Any]] = {}


Number = TypeVar("Number", int, float)


class RangeShape(Shape, Generic[Number]):
    given: Annotated[list[Number], Field(validation_alias=AliasChoices("float", "integer"), min_length=2, max_length=2)]
    log: bool = False
    step: Number | None = None
    when: dict[str, Any] = {}


class OptionsShape(Shape):
    given: Annotated[
        list[Annotated[Any, AfterValidator(_single)]], Field(validation_alias=AliasChoices("choice", "ordered"))
    ]
    when: dict[str, Any] = {}


KIND_SHAPES: dict[str, type[RangeShape[Any] | OptionsShape]] = {
    "float": RangeShape[float], "integer": RangeShape[int], "choice": OptionsShape, "ordered": OptionsShape,
}  # fmt: skip

ShapeT = TypeVar("ShapeT", bound=Shape)


def shaped(document: Document, shape: type[ShapeT], place: Place) -> ShapeT | None:
    """The entry at a place in this shape, or None after every mistake in it is reported."""
    try:
        return shape.model_validate(document.at(place))
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            at = (*place, *mistake["loc"])
            unknown, missing = mistake["type"] == "extra_forbidden", mistake["type"] == "missing"
            value = None if unknown or missing else mistake["input"]
            document.add(
                at, f"{dotted(at)} {sentence(mistake)}", value, nearest(str(at[-1]), _names(shape, at)) * unknown
            )
        return None


def _names(shape: type[Shape], place: Place) -> list[str]:
    """The names that may stand beside the one at this place."""
    parts: dict[str | int, type[Shape]] = {"length": LengthShape, "constraints": LimitShape}
    owner = parts.get(place[0], shape) if len(place) > 1 else shape
    return [name for name in owner.model_fields if name != "given"]
