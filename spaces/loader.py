"""From a space file to a Space, or to a SpaceError with every mistake and its line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from search.sentences import Check, Value, nearest
from spaces.document import MOST_BYTES, TOO_LARGE, Document, Place, dotted, scalar
from spaces.parameter import KINDS, Fixed, Float, Integer, Kind, KindError, Parameter
from spaces.shape import KIND_SHAPES, FileShape, shaped
from spaces.space import Baseline, Constraint, Problem, Space, SpaceError, TrainingLength

GROUPS = ("architecture", "recipe")
YAML_1_1_BOOLEANS = ("on", "off", "yes", "no", "y", "n")  # are text today (yaml.org/spec/1.2.2, section 10.3.2)
MOST_BETWEEN = 64  # values of an integer range that are checked beside its ends
NO_SPACES = ("baselines",)  # YAML files beside the shipped spaces that are none


def shipped_spaces() -> list[str]:
    """Names of the spaces that come with the package, sorted."""
    names = (Path(entry.name) for entry in files("spaces").iterdir())
    return sorted(name.stem for name in names if name.suffix == ".yaml" and name.stem not in NO_SPACES)


def load_space(source: str | Path, *, families: Mapping[str, Mapping[str, Check]], measures: Collection[str]) -> Space:
    """The space in a file, or the shipped one of that name; a path has a folder or ends in .yaml. Raises SpaceError.

    `families` has for each family the names it allows, with the check of their values; `measures` what a constraint
    may limit.
    """
    path = Path(source)
    if isinstance(source, str) and path.name == source and not path.suffix:
        if source not in (known := shipped_spaces()):
            hint = nearest(source, known) + "; a file is given by a path that ends in .yaml"
            raise SpaceError([Problem(dotted((source,)), 0, "is not a shipped space", hint=hint)])
        path = Path(str(files("spaces") / f"{source}.yaml"))
    return parse_space(_text(path), name=path.stem, source=str(path), families=families, measures=measures)


def parse_space(
    text: str, *, name: str, source: str, families: Mapping[str, Mapping[str, Check]], measures: Collection[str]
) -> Space:
    """The space that a text describes; `source` stands before the line in messages. Raises SpaceError."""
    document = Document(text, file=source)
    shape = shaped(document, FileShape, ())
    family = document.data.get("family")
    checks = families.get(family) if isinstance(family, str) else None
    if isinstance(family, str) and checks is None:
        document.add(("family",), "family is not a known one", family, nearest(family, families))
    parameters = _parameters(document, str(family), checks)
    readable = tuple(parameter for parameter in parameters.values() if parameter is not None)
    space = Space(name=name, source=source, description="", family=str(family), length=None, parameters=readable)
    baselines = tuple(_baseline(document, baseline, parameters, space) for baseline in document.mapping(("baselines",)))
    for measure in document.mapping(("constraints",)):
        if measure not in measures:
            place = ("constraints", measure)
            document.add(place, f"{dotted(place)} is not a known measure", hint=nearest(measure, measures))
    document.finish()
    assert shape is not None
    return replace(
        space,
        description=shape.description,
        length=TrainingLength(**shape.length.model_dump()) if shape.length else None,
        constraints=tuple(Constraint(measure, limit.max) for measure, limit in shape.constraints.items()),
        baselines=baselines,
    )


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise OSError("is not a file")  # a device or a pipe could be read for ever
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise OSError(TOO_LARGE)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Problem(dotted((str(path),)), line, "a space file must be UTF-8 text", hint="save it as UTF-8")
    except (OSError, ValueError) as error:  # a ValueError for a path that cannot be
        problem = Problem(dotted((str(path),)), 0, getattr(error, "strerror", None) or str(error))
    raise SpaceError([problem])


def _parameters(document: Document, family: str, checks: Mapping[str, Check] | None) -> dict[str, Parameter | None]:
    """By name, in the order of the file; None where the file is wrong."""
    parameters: dict[str, Parameter | None] = {"architecture.family": Parameter("architecture.family", Fixed(family))}
    places: dict[str, Place] = {}
    groups = [(group, key) for group in document.data if group in GROUPS for key in document.mapping((group,))]
    for place in (leaf for group in groups for leaf in _leaves(document, group, checks)):
        name = ".".join(map(str, place))
        if name in parameters:
            document.add(place, f"{dotted(place)} is given by `family`", hint="leave it out here")
        elif name in places:
            document.add(place, f"{dotted(place)} is there twice")
        else:
            places[name] = place
    for name, place in places.items():
        if checks is not None and name not in checks:
            _unknown(document, place, checks)
        if (whole := name.rpartition(".")[0]) in places:
            rule = f"{dotted(place)} is given, and {dotted((whole,))} for all of them too"
            document.add(place, rule, hint="leave one out")
        conditions = _conditions(document, place, parameters, places)
        kind = _kind(document, place, (checks or {}).get(name))
        parameters[name] = None if kind is None or conditions is None else Parameter(name, kind, conditions)
    return parameters


def _leaves(document: Document, place: Place, checks: Mapping[str, Check] | None) -> Iterator[Place]:
    """The place of each parameter in the order of the file; a mapping is one if its name or its keys say so."""
    node, name = document.at(place), ".".join(map(str, place))
    has_entries = any(other.startswith(f"{name}.") for other in checks or {})  # width.1, width.2, ... beside width
    if not isinstance(node, dict) or KIND_SHAPES.keys() & node:
        yield place
    elif name in (checks or {}) and not (has_entries and (not node or any(map(str.isdecimal, node)))):
        yield place  # its kind is misspelt
    elif checks is not None and not has_entries:
        _unknown(document, place, checks)
    elif not node:
        document.add(place, f"{dotted(place)} has nothing in it")
    else:
        for key in node:
            yield from _leaves(document, (*place, key), checks)


def _unknown(document: Document, place: Place, checks: Mapping[str, Check]) -> None:
    rule = f"{dotted(place)} is not a name of family {document.data['family']}"
    document.add(place, rule, hint=nearest(".".join(map(str, place)), checks))


def _kind(document: Document, place: Place, check: Check | None) -> Kind | None:
    """What varies at this place, or None after every mistake in it is reported."""
    name, node = dotted(place), document.at(place)
    if isinstance(node, list):
        document.add(place, f"{name} must say what the list is", node, "write {choice: [...]} or {ordered: [...]}")
    elif isinstance(node, dict):
        kinds = [key for key in KIND_SHAPES if key in node]
        if len(kinds) == 1:
            return _varying(document, place, kinds[0], check)
        hint = "" if kinds else nearest(next(iter(node), ""), KIND_SHAPES)
        document.add(place, f"{name} must have one of {', '.join(KIND_SHAPES)}", [*node], hint)
    elif node is not None:
        _complain(document, place, node, check)
        return Fixed(node)
    return None


def _varying(document: Document, place: Place, key: str, check: Check | None) -> Kind | None:
    shape = shaped(document, KIND_SHAPES[key], place)
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


def _complain(document: Document, place: Place, value: Value, check: Check | None) -> bool:
    """Report what the check of the field says of a value; whether it says anything."""
    complaint = check(value) if check else None
    if check and complaint:
        document.add(place, f"{dotted(place)}: {complaint}", value, _meant(value, check))
    return complaint is not None


def _meant(value: Value, check: Check) -> str:
    """The hint for text that was meant as something else."""
    if not isinstance(value, str):
        return ""
    if value.lower() in YAML_1_1_BOOLEANS and not check(True):
        return "write true or false"
    try:
        plain = scalar(value)
    except ValueError:
        return ""
    return "" if isinstance(plain, str) or check(plain) else "write it without quotes"


def _conditions(
    document: Document, place: Place, before: Mapping[str, Parameter | None], places: Mapping[str, Place]
) -> dict[str, tuple[Value, ...]] | None:
    """The conditions of the parameter at this place, or None if a mistake is found in them or in their parameters."""
    conditions: dict[str, tuple[Value, ...]] = {}
    when = document.mapping((*place, "when"))
    for name, given in when.items():
        at, options = (*place, "when", name), given if isinstance(given, list) else [given]
        if name not in before:
            late = name in places
            rule = "is not above it in the file" if late else "is not a parameter of this space"
            hint = "a condition needs one that is" if late else nearest(name, before)
            document.add(at, f"{dotted(place)}: {dotted((name,))} {rule}", hint=hint)
        elif parent := before[name]:
            wrong = [option for option in options if option is not None and not parent.kind.contains(option)]
            if isinstance(parent.kind, Float):
                document.add(at, f"{dotted(place)}: {name} is a float, and a condition needs exact values")
            elif wrong or not options:
                document.add(at, f"{dotted(place)}: {name} can only be {parent.kind.describe()}", wrong)
            else:
                conditions[name] = tuple(options)
    return conditions if len(conditions) == len(when) else None


def _baseline(document: Document, baseline: str, parameters: Mapping[str, Parameter | None], space: Space) -> Baseline:
    """A baseline as a study would suggest it, after all that is outside the space or missing is reported."""
    given: dict[str, Value] = {}
    label = f"baseline {dotted((baseline,))}"
    for place in document.leaves(("baselines", baseline)):
        name, value = ".".join(map(str, place[2:])), document.at(place)
        if name not in parameters:
            hint = nearest(name, parameters)
            document.add(place, f"{label}: {dotted(place[2:])} is not a parameter of this space", hint=hint)
        elif name in given:
            document.add(place, f"{label}: {dotted(place[2:])} is there twice")
        elif (parameter := parameters[name]) and value is not None:
            if isinstance(value, list) or not parameter.kind.contains(value):
                document.add(place, f"{label}: {dotted(place[2:])} must be {parameter.kind.describe()}", value)
            elif isinstance(parameter.kind, Float):
                value = float(value)
        given[name] = value
    values = space.complete(given)
    missing = [each.name for each in space.parameters if each.active(values) and each.name not in values]
    if missing:
        document.add(
            ("baselines", baseline), f"{label} has no value for {', '.join(dotted((name,)) for name in missing)}"
        )
    return Baseline(baseline, values)
