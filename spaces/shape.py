"""The form of a space file: which names it may have, and of which types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from search.sentences import Value, sentence
from spaces.document import Document, Place, dotted, nearest
from spaces.parameter import Choice, Float, Integer, Kind, Ordered


def _single(value: Any) -> Any:
    if not isinstance(value, (str, int, float, bool)):
        raise ValueError("must be a single value")
    return value


def _pair(bounds: list[Any]) -> list[Any]:
    if len(bounds) != 2:
        raise ValueError("must be [low, high]")
    return bounds


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


class KindShape(Shape):
    """What varies; `given` are the values that the file names, and stands there under the name of the kind."""

    given: Sequence[Value]
    when: dict[str, Any] = {}

    def kind(self) -> Kind:
        """Raises KindError."""
        raise NotImplementedError


class FloatShape(KindShape):
    given: Annotated[list[float], Field(alias="float"), AfterValidator(_pair)]
    log: bool = False
    step: float | None = None

    def kind(self) -> Kind:
        low, high = self.given
        return Float(low, high, log=self.log, step=self.step)


class IntegerShape(KindShape):
    given: Annotated[list[int], Field(alias="integer"), AfterValidator(_pair)]
    log: bool = False
    step: int = 1

    def kind(self) -> Kind:
        low, high = self.given
        return Integer(low, high, log=self.log, step=self.step)


class ChoiceShape(KindShape):
    given: Annotated[list[Annotated[Any, AfterValidator(_single)]], Field(alias="choice")]

    def kind(self) -> Kind:
        return Choice(tuple(self.given))


class OrderedShape(KindShape):
    given: Annotated[list[Annotated[Any, AfterValidator(_single)]], Field(alias="ordered")]

    def kind(self) -> Kind:
        return Ordered(tuple(self.given))


KIND_SHAPES: dict[str, type[KindShape]] = {
    "float": FloatShape, "integer": IntegerShape, "choice": ChoiceShape, "ordered": OrderedShape,
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
    return [field.alias or name for name, field in owner.model_fields.items()]
