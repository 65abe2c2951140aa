"""From a space file to a Space, or to a SpaceError with every mistake and its line."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from search.sentences import Check, Value, nearest, sentence
from spaces.document import MOST_BYTES, Document, Place, dotted
from spaces.foreign import native_form
from spaces.parameter import KINDS, Fixed, Float, Integer, Kind, KindError, Parameter
from spaces.space import Baseline, Problem, Space, SpaceError, TrainingLength

MOST_BETWEEN = 64  # values of an integer range that are checked beside its ends


def _single(value: Any) -> Any:
    if not isinstance(value, (str, int, float, bool)):
        raise ValueError("must be a single value")
    return value


class Shape(BaseModel):
    """One mapping of a space file: exact names, exact types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LengthShape(Shape):
    trial: Annotated[int, Field(ge=1, description="epochs of a trial")]
    retrain: Annotated[int, Field(ge=1, description="epochs of a final training")]


class LimitShape(Shape):
    max: Annotated[float, Field(gt=0, description="largest that a network may have")]


class FileShape(Shape):
    description: Annotated[str, Field(min_length=1)]
    family: str
    length: LengthShape | None = None
    architecture: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    constraints: dict[str, LimitShape] = {}
    baselines: dict[str, dict[str, Any]] = {}


Number = TypeVar("Number", int, float)
Option = Annotated[Any, AfterValidator(_single)]


class RangeShape(Shape, Generic[Number]):
    given: Annotated[list[Number], Field(validation_alias=AliasChoices("float", "integer"), min_length=2, max_length=2)]
    log: bool = False
    step: Number | None = None
    when: dict[str, Any] = {}


class OptionsShape(Shape):
    given: Annotated[list[Option], Field(validation_alias=AliasChoices("choice", "ordered"))]
    when: dict[str, Any] = {}


KIND_SHAPES: dict[str, type[RangeShape[Any] | OptionsShape]] = {"float": RangeShape[float], "integer": RangeShape[int]}
KIND_SHAPES |= {"choice": OptionsShape, "ordered": OptionsShape}
PART_SHAPES: dict[str | int, type[Shape]] = {"length": LengthShape, "constraints": LimitShape}

ShapeT = TypeVar("ShapeT", bound=Shape)

Parameters = dict[str, Parameter | None]  # by name, in the order of the file; None where the file is wrong


def shipped_spaces() -> list[str]:
    """Names of the spaces that come with the package, sorted."""
    names = [entry.name for entry in files("spaces").iterdir() if entry.name != "baselines.yaml"]
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_space(source: str, *, families: Mapping[str, Mapping[str, Check]], measures: Collection[str]) -> Space:
    """The space in a file, or the shipped one of that name; a path has a folder or ends in .yaml. Raises SpaceError.

    `families` has the check of each value by family and name, `measures` what a constraint may limit.
    """
    path = Path(source)
    if path.name == source and not path.suffix:
        if source not in (known := shipped_spaces()):
            hint = nearest(source, known) + "; a file is given by a path that ends in .yaml"
            raise SpaceError([Problem(dotted((source,)), 0, "is not a shipped space", hint=hint)])
        path = Path(str(files("spaces") / f"{source}.yaml"))
    try:
        if path.exists() and not path.is_file():
            raise OSError("is not a file")  # a device or a pipe could be read for ever
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a ValueError for a path that cannot be
        rule = getattr(error, "strerror", None) or str(error)
        raise SpaceError([Problem(dotted((str(path),)), 0, rule)]) from None
    return parse_space(content, name=path.stem, source=str(path), families=families, measures=measures)


def parse_space(
    content: bytes, *, name: str, source: str, families: Mapping[str, Mapping[str, Check]], measures: Collection[str]
) -> Space:
    """The space that a text describes; `source` stands before the line in messages. Raises SpaceError."""
    document = Document(content, file=source)
    shape = _shaped(document, FileShape, ())
    family = document.at(("family",))
    if not isinstance(family, str) or family not in families:
        if isinstance(family, str):
            document.add(("family",), "family is not a known one", family, nearest(family, families))
        document.finish()  # without a family no name can be judged
    parameters = _parameters(document, family, families[family])
    readable = tuple(parameter for parameter in parameters.values() if parameter is not None)
    space = Space(name=name, source=source, description="", family=family, length=None, parameters=readable)
    baselines = tuple(_baseline(document, baseline, parameters, space) for baseline in document.mapping(("baselines",)))
    for measure in document.mapping(("constraints",)):
        if measure not in measures:
            place = ("constraints", measure)
            document.add(place, f"{dotted(place)} is not a known measure", hint=nearest(measure, measures))
    document.finish()
    assert shape is not None
    length = TrainingLength(**shape.length.model_dump()) if shape.length else None
    limits = {measure: limit.max for measure, limit in shape.constraints.items()}
    return replace(space, description=shape.description, length=length, limits=limits, baselines=baselines)


def _parameters(document: Document, family: str, checks: Mapping[str, Check]) -> Parameters:
    parameters: Parameters = {"architecture.family": Parameter("architecture.family", Fixed(family))}
    places: dict[str, Place] = {}
    groups = [group for group in document.data if group in ("architecture", "recipe")]
    entries = [(group, key) for group in groups for key in document.mapping((group,))]
    for place in (leaf for entry in entries for leaf in _leaves(document, entry, checks)):
        name = _name(place)
        if name in parameters:
            document.add(place, f"{dotted(place)} is given by `family`", hint="leave it out here")
        elif name in places:
            document.add(place, f"{dotted(place)} is there twice")
        else:
            places[name] = place
    for name, place in places.items():
        if (whole := name.rpartition(".")[0]) in places:
            rule = f"{dotted(place)} is given, and {dotted((whole,))} for all of them too"
            document.add(place, rule, hint="leave one out")
        if name not in checks:
            rule = f"{dotted(place)} is not a name of family {family}"
            document.add(place, rule, hint=nearest(name, checks))
            parameters[name] = None
            continue
        conditions, kind = _conditions(document, place, parameters), _kind(document, place, checks[name])
        parameters[name] = None if kind is None or conditions is None else Parameter(name, kind, conditions)
    return parameters


def _leaves(document: Document, place: Place, checks: Mapping[str, Check]) -> Iterator[Place]:
    """The place of each parameter in the order of the file; a mapping is one if its name or its keys say so."""
    node = document.at(place)
    entries = isinstance(node, dict) and any(map(str.isdecimal, node))
    if isinstance(node, dict) and not node:
        document.add(place, f"{dotted(place)} has nothing in it")
    elif not isinstance(node, dict) or (KIND_SHAPES.keys() & node and (not entries or f"{_name(place)}.1" in checks)):
        yield place
    elif _name(place) in checks and not entries:
        yield place  # its kind is misspelt; numbers are the entries of a field: width.1, width.2, ...
    else:
        for key in node:
            yield from _leaves(document, (*place, key), checks)


def _kind(document: Document, place: Place, check: Check) -> Kind | None:
    """What varies at this place, or None after every mistake in it is reported."""
    name, node = dotted(place), document.at(place)
    if isinstance(node, list):
        document.add(place, f"{name} must say what the list is", node, "write {choice: [...]} or {ordered: [...]}")
    elif isinstance(node, dict):
        kinds = [key for key in KIND_SHAPES if key in node]
        if len(kinds) == 1:
            return _varying(document, place, kinds[0], check)
        hint = "" if kinds else _native(node, check) or nearest(next(iter(node)), KIND_SHAPES)
        document.add(place, f"{name} must have one of {', '.join(KIND_SHAPES)}", [*node], hint)
    elif node is not None:
        _complain(document, place, node, check)
        return Fixed(node)
    return None


def _varying(document: Document, place: Place, key: str, check: Check) -> Kind | None:
    shape = _shaped(document, KIND_SHAPES[key], place)
    if shape is None:
        return None
    wrong = [_complain(document, place, value, check) for value in dict.fromkeys(shape.given)]
    arguments = shape.given if key in ("float", "integer") else [tuple(shape.given)]
    try:
        kind: Kind = KINDS[key](*arguments, **shape.model_dump(exclude={"given", "when"}, exclude_none=True))
    except KindError as error:
        for field, rule, value in error.faults:
            at = (*place, field if field in document.mapping(place) else key)
            document.add(at, f"{dotted(place)}: {rule}", value)
        return None
    if isinstance(kind, Integer) and not any(wrong):  # the first mistake between the ends is enough
        between = range(kind.low, kind.high, kind.step)[1 : MOST_BETWEEN + 1]
        any(_complain(document, place, value, check) for value in between)
    return kind


def _complain(document: Document, place: Place, value: Value, check: Check) -> bool:
    """Report what the check of the field says of a value; whether it says anything."""
    complaint = check(value)
    if complaint:
        document.add(place, f"{dotted(place)}: {complaint}", value, _native(value, check))
    return complaint is not None


def _native(node: Any, check: Check) -> str:
    return native_form(node, floats=check(0.5) is None)  # a number that every field of floats takes


def _conditions(document: Document, place: Place, above: Parameters) -> dict[str, tuple[Value, ...]] | None:
    """The conditions of the parameter at this place, or None if a mistake is found in them or in their parameters."""
    conditions: dict[str, tuple[Value, ...]] = {}
    when = document.mapping((*place, "when"))
    for name, given in when.items():
        at, options = (*place, "when", name), given if isinstance(given, list) else [given]
        if name not in above:
            rule = f"{dotted(place)}: {dotted((name,))} is not a parameter above it in the file"
            document.add(at, rule, hint=nearest(name, above))
        elif parent := above[name]:
            wrong = [option for option in options if option is not None and not parent.kind.contains(option)]
            if isinstance(parent.kind, Float):
                document.add(at, f"{dotted(place)}: {name} is a float, and a condition needs exact values")
            elif wrong or not options:
                document.add(at, f"{dotted(place)}: {name} can only be {parent.kind.describe()}", wrong)
            else:
                conditions[name] = tuple(options)
    return conditions if len(conditions) == len(when) else None


def _baseline(document: Document, baseline: str, parameters: Parameters, space: Space) -> Baseline:
    """A baseline as a study would suggest it, after all that is outside the space or missing is reported."""
    given: dict[str, Value] = {}
    label, epochs = f"baseline {dotted((baseline,))}", None
    for place in document.leaves(("baselines", baseline)):
        name, value, shown = _name(place[2:]), document.at(place), f"{label}: {dotted(place[2:])}"
        if name == "epochs":
            epochs = value
            if type(value) is not int or value < 1:
                document.add(place, f"{shown} must be those of a training that it is best at, a whole number", value)
            continue
        if name not in parameters:
            document.add(place, f"{shown} is not a parameter of this space", hint=nearest(name, parameters))
        elif name in given:
            document.add(place, f"{shown} is there twice")
        elif (parameter := parameters[name]) and value is not None:
            if isinstance(value, list) or not parameter.kind.contains(value):
                document.add(place, f"{shown} must be {parameter.kind.describe()}", value)
            elif isinstance(parameter.kind, Float):
                value = float(value)
        given[name] = value
    values = space.complete(given)
    missing = [dotted((each.name,)) for each in space.parameters if each.active(values) and each.name not in values]
    if missing:
        document.add(("baselines", baseline), f"{label} has no value for {', '.join(missing)}")
    return Baseline(baseline, values, epochs)


def _shaped(document: Document, shape: type[ShapeT], place: Place) -> ShapeT | None:
    """The entry at a place in this shape, or None after every mistake in it is reported."""
    try:
        return shape.model_validate(document.at(place))
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            at, kind = (*place, *mistake["loc"]), mistake["type"]
            names = [name for name in PART_SHAPES.get(at[0], shape).model_fields if name != "given"]
            hint = nearest(str(at[-1]), names) if kind == "extra_forbidden" else ""
            value = None if kind in ("extra_forbidden", "missing") else mistake["input"]
            document.add(at, f"{dotted(at)} {sentence(mistake)}", value, hint)
        return None


def _name(place: Place) -> str:
    return ".".join(map(str, place))
