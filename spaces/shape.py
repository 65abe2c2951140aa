"""The form of a space file: which names it may have, of which types, in the words of its messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from spaces.document import Document, Place, dotted, nearest
from spaces.parameter import Choice, Float, Integer, Kind, Ordered, Value

MOST_BETWEEN = 64  # values of an integer range that are all checked, not only its ends


def _single(value: Any) -> Any:
    if not isinstance(value, (str, int, float, bool)):
        raise PydanticCustomError("single", "must be a single value")
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


class FloatShape(Shape):
    bounds: Annotated[list[float], Field(alias="float", min_length=2, max_length=2)]
    log: bool = False
    step: float | None = None
    when: dict[str, Any] = {}

    def kind(self) -> Kind:
        """Raises KindError."""
        return Float(self.bounds[0], self.bounds[1], log=self.log, step=self.step)

    def values(self) -> tuple[Sequence[Value], Sequence[Value]]:
        """The values to check one by one, and those that stand for each other."""
        return self.bounds, ()


class IntegerShape(Shape):
    bounds: Annotated[list[int], Field(alias="integer", min_length=2, max_length=2)]
    log: bool = False
    step: int | None = None
    when: dict[str, Any] = {}

    def kind(self) -> Kind:
        """Raises KindError."""
        return Integer(self.bounds[0], self.bounds[1], log=self.log, step=1 if self.step is None else self.step)

    def values(self) -> tuple[Sequence[Value], Sequence[Value]]:
        """Both ends, and what lies between them if that is little."""
        between = range(self.bounds[0], self.bounds[1], max(self.step or 1, 1))[1:]
        return self.bounds, between if len(between) <= MOST_BETWEEN else ()


Options = list[Annotated[Any, AfterValidator(_single)]]


class ChoiceShape(Shape):
    options: Annotated[Options, Field(alias="choice")]
    when: dict[str, Any] = {}

    def kind(self) -> Kind:
        """Raises KindError."""
        return Choice(tuple(self.options))

    def values(self) -> tuple[Sequence[Value], Sequence[Value]]:
        """Every option."""
        return self.options, ()


class OrderedShape(ChoiceShape):
    options: Annotated[Options, Field(alias="ordered")]

    def kind(self) -> Kind:
        """Raises KindError."""
        return Ordered(tuple(self.options))


KIND_SHAPES: dict[str, type[FloatShape] | type[IntegerShape] | type[ChoiceShape]] = {
    "float": FloatShape,
    "integer": IntegerShape,
    "choice": ChoiceShape,
    "ordered": OrderedShape,
}

_RULES = {  # pydantic's types of error
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of names to values",
    "float_type": "must be a number, without quotes or a unit",
    "int_from_float": "must be an integer, without a point or an exponent",
    "int_type": "must be an integer, without a point or an exponent",
    "list_type": "must be a list in [ ]",
    "missing": "is missing",
    "model_type": "must be a mapping of names to values",
    "string_too_short": "must not be empty",
    "string_type": "must be text (in quotes, if it looks like a number)",
    "too_long": "must be [low, high]",
    "too_short": "must be [low, high]",
}

ShapeT = TypeVar("ShapeT", bound=Shape)


def shaped(document: Document, shape: type[ShapeT], place: Place) -> ShapeT | None:
    """The entry at a place in this shape, or None after every mistake in it is reported."""
    try:
        return shape.model_validate(document.at(place))
    except ValidationError as error:
        for mistake in error.errors(include_url=False, include_context=False):
            at = (*place, *mistake["loc"])
            if mistake["type"] == "extra_forbidden":
                document.add(at, f"{dotted(at)} is not a name here", hint=nearest(str(at[-1]), _names(shape, at)))
            else:
                rule = _RULES.get(mistake["type"], mistake["msg"].replace("Input should", "must"))
                document.add(at, f"{dotted(at)} {rule}", None if mistake["type"] == "missing" else mistake["input"])
        return None


def _names(shape: type[Shape], place: Place) -> list[str]:
    parts: dict[str | int, type[Shape]] = {"length": LengthShape, "constraints": LimitShape}
    owner = parts.get(place[0], shape) if len(place) > 1 else shape
    return [field.alias or name for name, field in owner.model_fields.items()]
