"""From a space file to a Space, or to a SpaceError with every mistake and its line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from spaces.document import MOST_BYTES, REFUSED, Document, Place, core_value, dotted, nearest
from spaces.parameter import Fixed, Float, Kind, KindError, Parameter, Value
from spaces.shape import KIND_SHAPES, FileShape, shaped
from spaces.space import Baseline, Constraint, Length, Problem, Space, SpaceError

Check = Callable[[Value], str | None]
"""Says what is wrong with a value, or None."""

GROUPS = ("architecture", "recipe")
YAML_1_1_BOOLEANS = ("on", "off", "yes", "no", "y", "n")  # are text today (yaml.org/spec/1.2.2, section 10.3.2)
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
    baselines = _baselines(document, parameters, checks or {})
    for measure in document.mapping(("constraints",)):
        if measure not in measures:
            place = ("constraints", measure)
            document.add(place, f"{dotted(place)} is not a known measure", hint=nearest(measure, measures))
    document.finish()
    assert shape is not None
    return Space(
        name=name,
        source=source,
        description=shape.description,
        family=shape.family,
        length=Length(shape.length.trial, shape.length.retrain) if shape.length else None,
        parameters=tuple(parameter for parameter in parameters.values() if parameter is not None),
        constraints=tuple(Constraint(measure, limit.max) for measure, limit in shape.constraints.items()),
        baselines=baselines,
    )


def _text(path: Path) -> str:
    label = dotted((str(path),))
    try:
        if not path.exists():
            raise OSError("there is no such file")
        if not path.is_file():
            raise OSError("is not a file")  # a device or a pipe could be read for ever
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise OSError(f"is larger than {MOST_BYTES} bytes: that is no space file")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise SpaceError([Problem(label, 0, error.strerror or str(error))]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpaceError([Problem(label, line, "a space file must be UTF-8 text", hint="save it as UTF-8")]) from None


def _parameters(document: Document, family: str, checks: Mapping[str, Check] | None) -> dict[str, Parameter | None]:
    """By name, in the order of the file; None where the file is wrong."""
    found: dict[str, Parameter | None] = {"architecture.family": Parameter("architecture.family", Fixed(family))}
    places: dict[str, Place] = {}
    for group in (name for name in document.data if name in GROUPS):
        for place in _leaves(document, (group,), checks):
            name = ".".join(map(str, place))
            if name in found:
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
        conditions = _conditions(document, place, found, places)
        kind = _kind(document, place, (checks or {}).get(name))
        found[name] = Parameter(name, kind, conditions) if kind is not None and conditions is not None else None
    return found


def _leaves(document: Document, place: Place, checks: Mapping[str, Check] | None) -> Iterator[Place]:
    """The place of each parameter in the order of the file; a mapping is one if its name or its keys say so."""
    node, name, group = document.at(place), ".".join(map(str, place)), len(place) == 1
    known = checks or {}
    entries = any(other.startswith(f"{name}.") for other in known)  # width.1, width.2, ... beside width
    if not isinstance(node, dict):
        if not group:
            yield place
    elif not group and KIND_SHAPES.keys() & node:
        yield place
    elif not group and name in known and not (entries and (not node or any(map(str.isdecimal, node)))):
        yield place  # its kind is misspelt
    elif not group and checks is not None and not entries:
        _unknown(document, place, checks)
    elif not group and not node:
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
        strange = [] if kinds else [(*place, key) for key in node if key not in ("log", "step", "when")]
        for at in strange:
            document.add(at, f"{dotted(at)} is not a name here", hint=nearest(at[-1], KIND_SHAPES))
        if not strange:
            document.add(place, f"{name} must have one of {', '.join(KIND_SHAPES)}", [*node])
    elif node is not REFUSED:
        _complain(document, place, node, check)
        return Fixed(node)
    return None


def _varying(document: Document, place: Place, key: str, check: Check | None) -> Kind | None:
    shape = shaped(document, KIND_SHAPES[key], place)
    if shape is None:
        return None
    each, between = shape.values()
    complaints = [_complain(document, place, value, check) for value in dict.fromkeys(each)]
    if not any(complaints):
        any(_complain(document, place, value, check) for value in between)  # stops at the first: that is enough
    try:
        return shape.kind()
    except KindError as error:
        for field, rule, value in error.faults:
            at = (*place, field if field in document.mapping(place) else key)
            document.add(at, f"{dotted(place)}: {rule}", value)
    return None


def _complain(document: Document, place: Place, value: Value, check: Check | None) -> bool:
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
        plain = core_value(value)
    except ValueError:
        return ""
    return "" if isinstance(plain, str) or check(plain) else "write it without quotes"


def _conditions(
    document: Document, place: Place, before: Mapping[str, Parameter | None], places: Mapping[str, Place]
) -> dict[str, tuple[Value, ...]] | None:
    """The conditions of the parameter at this place, or None if a mistake is found in them."""
    found: dict[str, tuple[Value, ...]] = {}
    when = document.mapping((*place, "when"))
    for name, given in when.items():
        at, options = (*place, "when", name), given if isinstance(given, list) else [given]
        if name not in before:
            late = name in places
            rule = "is not above it in the file" if late else "is not a parameter of this space"
            hint = "a condition needs one that is" if late else nearest(name, before)
            document.add(at, f"{dotted(place)}: {dotted((name,))} {rule}", hint=hint)
        elif parent := before[name]:
            kind = parent.kind
            wrong = [option for option in options if option is not REFUSED and not kind.contains(option)]
            if isinstance(kind, Float):
                document.add(at, f"{dotted(place)}: {name} is a float, and a condition needs exact values")
            elif wrong or not options:
                document.add(at, f"{dotted(place)}: {name} can only be {kind.describe()}", wrong)
            else:
                found[name] = tuple(options)
    return found if len(found) == len(when) else None


def _baselines(
    document: Document, parameters: Mapping[str, Parameter | None], checks: Mapping[str, Check]
) -> tuple[Baseline, ...]:
    return tuple(
        Baseline(name, _complete(document, name, parameters, _given(document, name, parameters, checks)))
        for name in document.mapping(("baselines",))
    )


def _given(
    document: Document, baseline: str, parameters: Mapping[str, Parameter | None], checks: Mapping[str, Check]
) -> dict[str, Value]:
    """The values that a baseline names, after each one that is outside the space is reported."""
    found: dict[str, Value] = {}
    for place in document.leaves(("baselines", baseline)):
        name, value = ".".join(map(str, place[2:])), document.at(place)
        label = f"baseline {dotted((baseline,))}: {dotted(place[2:])}"
        if name not in parameters:
            document.add(place, f"{label} is not a parameter of this space", hint=nearest(name, parameters))
        elif name in found:
            document.add(place, f"{label} is there twice")
        elif (parameter := parameters[name]) and value is not REFUSED:
            if isinstance(value, list) or not parameter.kind.contains(value):
                document.add(place, f"{label} must be {parameter.kind.describe()}", value)
            elif (check := checks.get(name)) and (complaint := check(value)):
                document.add(place, f"{label}: {complaint}", value)
        found[name] = float(value) if type(value) is int and _is_float(parameters.get(name)) else value
    return found


def _is_float(parameter: Parameter | None) -> bool:
    return parameter is not None and isinstance(parameter.kind, Float)


def _complete(
    document: Document, baseline: str, parameters: Mapping[str, Parameter | None], given: Mapping[str, Value]
) -> dict[str, Value]:
    """The values as a study would suggest them: fixed ones added, inactive ones dropped; missing ones are reported."""
    values: dict[str, Value] = {}
    missing = []
    for name, parameter in parameters.items():
        if parameter is None or any(parameters[parent] is None for parent in parameter.when):
            continue  # reported already
        if not parameter.active(values):
            continue
        if name in given:
            values[name] = given[name]
        elif isinstance(parameter.kind, Fixed):
            values[name] = parameter.kind.value
        else:
            missing.append(name)
    if missing:
        names = ", ".join(dotted((name,)) for name in missing)
        document.add(("baselines", baseline), f"baseline {dotted((baseline,))} has no value for {names}")
    return values
