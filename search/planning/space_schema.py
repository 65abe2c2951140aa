"""The JSON Schema of a space file, made of the fields: editors complete from it, and a person reads it as a table."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from search.candidate import FAMILIES, Recipe, field_types
from search.candidate.fields import MOST_STAGES
from search.planning.catalogue import MEASURES
from search.sentences import nearest
from spaces import Problem, SpaceError
from spaces.loader import KIND_SHAPES, FileShape

RANGES = {"float": ("number",), "integer": ("number", "integer")}  # kinds of a parameter, with what has such a range

Schema = dict[str, Any]


def space_schema(family: str | None = None) -> Schema:
    """The schema of one family's files, or of any; each part is a definition. Raises SpaceError."""
    if family is not None and family not in FAMILIES:
        raise SpaceError([Problem(family, 0, "is not a known family", hint=nearest(family, FAMILIES))])
    schema, families = FileShape.model_json_schema(), [family] if family else [*FAMILIES]
    for each in families:
        schema["$defs"] |= _part(each, FAMILIES[each], family=each)
    schema["$defs"] |= _part("recipe", Recipe, family=families[0])
    properties = schema["properties"]
    properties |= {"family": {"enum": families}, "recipe": _reference("recipe"), "length": _reference("LengthShape")}
    properties["constraints"]["propertyNames"] = {"enum": [*MEASURES]}
    architectures = [
        {"if": {"properties": {"family": {"const": each}}}, "then": {"properties": {"architecture": _reference(each)}}}
        for each in families
    ]
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, **schema, "title": "a space of cifar-search", "allOf": architectures}


def _part(part: str, owner: Any, *, family: str) -> Schema:
    """The definitions of a part of a file and, as `part.field`, of its fields."""
    types, hints = field_types(family), get_type_hints(owner, include_extras=True)
    found: Schema = {"type": "object", "additionalProperties": False, "properties": {}, "patternProperties": {}}
    definitions = {part: found}
    for field in fields(owner):
        name, hint = field.name, types[f"{'recipe' if owner is Recipe else 'architecture'}.{field.name}"]
        value, said = TypeAdapter(hint).json_schema(), getattr(hints[name], "__metadata__", ())
        definitions[f"{part}.{name}"] = {"anyOf": [value, *_varying(value)]}
        one = _reference(f"{part}.{name}")
        about = {"description": next(word for word in said if isinstance(word, str)), "default": field.default}
        found["properties"][name] = about | one
        if isinstance(field.default, tuple):
            entries = {"patternProperties": {f"^[1-{MOST_STAGES}]$": one}, "additionalProperties": False}
            found["properties"][name] = about | {"anyOf": [one, {"type": "object", **entries}]}
            found["patternProperties"][rf"^{name}\.[1-{MOST_STAGES}]$"] = one
    return definitions


def _varying(value: Schema) -> Iterator[Schema]:
    """Each form of what may vary in place of a value."""
    for kind in KIND_SHAPES:
        given: Schema = {"type": "array", "items": value}
        known: Schema = {kind: given, "when": {"type": "object"}}
        if kind in RANGES:
            given |= {"minItems": 2, "maxItems": 2}
            known |= {"log": {"type": "boolean"}, "step": {"type": "number"}}
        if kind not in RANGES or value.get("type") in RANGES[kind]:
            yield {"type": "object", "properties": known, "required": [kind], "additionalProperties": False}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
