"""Gemini's schema, a subset of OpenAPI's, against JSON Schema.

`parameters` and `responseSchema` are written in the subset, `parametersJsonSchema` and `responseJsonSchema` in JSON
Schema (ai.google.dev/api/caching#Schema, read 2026-11-20). The subset names types in capitals, has `nullable`, and
no references, no `const`, no `oneOf`, no `additionalProperties`.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects.gemini.numbered import TYPES, word

Schema = dict[str, Any]
Lost = Callable[[str], None]

_MARKS = tuple(
    f'"{mark}"'.encode()
    for mark in ("OBJECT", "STRING", "ARRAY", "INTEGER", "NUMBER", "BOOLEAN", "nullable", "propertyOrdering")
)
_NUMBERED = re.compile(rb'"type":[0-7][,}]')

DEPTH = 60
"""Levels of a schema that are looked into; what lies deeper is left as it is, or out of the subset."""

NODES = 20_000
"""Schemas that one may come to when its references are written out: they can double at every step."""

_TYPES = {
    "OBJECT": "object",
    "STRING": "string",
    "ARRAY": "array",
    "INTEGER": "integer",
    "NUMBER": "number",
    "BOOLEAN": "boolean",
    "NULL": "null",
}
_CAPITALS = {lower: upper for upper, lower in _TYPES.items()}
_UNSPECIFIED = ("TYPE_UNSPECIFIED", 0)
# The API writes 64-bit integers as text.
_LENGTHS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_PLAIN = ("title", "description", "pattern", "minimum", "maximum", "default", "example", "propertyOrdering", *_LENGTHS)
_FORMATS = {"STRING": ("date-time", "enum"), "NUMBER": ("float", "double"), "INTEGER": ("int32", "int64")}
# Words of a schema that are the same in both, but for the names of types.
_SIMPLE = frozenset(("description", "title", "enum", "required", "default", "pattern", "minimum", "maximum")) | {"type"}
_SPECIAL = frozenset(
    (
        *("type", "nullable", "propertyOrdering", "format", "items", "additionalProperties", "not", "$defs", "defs"),
        *("definitions", "patternProperties", "anyOf", "oneOf", "allOf", "prefixItems", *_LENGTHS),
    )
)
# Words about a schema that ask nothing of what it describes.
_SILENT = frozenset(("$schema", "$id", "$defs", "definitions", "$comment", "$anchor", "examples", "deprecated"))


def in_subset(value: Any) -> bool:
    """Return whether a value may hold schemas that are not JSON Schema as they stand."""
    written = msgspec.json.encode(value)
    return any(mark in written for mark in _MARKS) or _NUMBERED.search(written) is not None


def to_json_schema(schema: Any, depth: int = 0) -> Any:
    """Write a schema of the subset as JSON Schema; one that is JSON Schema comes out as it was."""
    if type(schema) is not dict or depth > DEPTH:
        return schema
    out = schema.copy()
    kind = word(out.get("type"), TYPES)
    if type(kind) is str and kind in _TYPES:
        out["type"] = _TYPES[kind]
    if out.keys() <= _SIMPLE and out.get("type") not in _UNSPECIFIED:
        return out
    properties = out.get("properties")
    if type(properties) is dict:
        out["properties"] = {name: to_json_schema(inner, depth + 1) for name, inner in properties.items()}
    for name in out.keys() & _SPECIAL:
        _special(out, name, schema[name], depth)
    if schema.get("nullable") is True:
        _allow_null(out)
    return out


def _special(out: Schema, name: str, value: Any, depth: int) -> None:
    """Write a word of a schema that holds schemas, or that is not JSON Schema's."""
    kind = type(value)
    if name in ("nullable", "propertyOrdering") or (name == "format" and value == "enum"):
        del out[name]
    elif name == "type" and kind in (str, int) and value in _UNSPECIFIED:
        del out["type"]
    elif name in _LENGTHS:
        if kind is str and value.isdecimal() and value.isascii() and len(value) < 20:
            out[name] = int(value)
    elif kind is dict and name in ("items", "additionalProperties", "not"):
        out[name] = to_json_schema(value, depth + 1)
    elif kind is dict and name in ("$defs", "defs", "definitions", "patternProperties"):
        out[name] = {key: to_json_schema(inner, depth + 1) for key, inner in value.items()}
    elif kind is list and name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        out[name] = [to_json_schema(inner, depth + 1) for inner in value]


def _allow_null(out: Schema) -> None:
    kind = out.get("type")
    if type(kind) is str:
        if kind != "null":
            out["type"] = [kind, "null"]
    elif type(out.get("anyOf")) is list:
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]
    if type(out.get("enum")) is list and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]


def to_subset(schema: Any, lost: Lost) -> Schema:
    """Write a JSON Schema in the subset. `lost` is told each keyword that the subset has no word for."""
    root = schema if type(schema) is dict else {}
    return _Subset(root, lost).write(root, (), 0)


class _Subset:
    def __init__(self, root: Schema, lost: Lost) -> None:
        self.root = root
        self.lost = lost
        self.nodes = 0

    def write(self, schema: Any, seen: tuple[str, ...], depth: int) -> Schema:
        if type(schema) is not dict:
            if schema is not True:
                self.lost(f"{schema!r} as a schema")
            return {}
        self.nodes += 1
        if depth > DEPTH or self.nodes > NODES:
            self.lost("a schema this deep")
            return {}
        reference = schema.get("$ref")
        if type(reference) is str:
            target = self.find(reference)
            if reference in seen or target is None:
                self.lost(f"the reference {reference!r}")
                return {"type": "OBJECT"}
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            return self.write({**target, **beside}, (*seen, reference), depth + 1)
        if type(schema.get("allOf")) is list:
            return self.write(self.merged(schema), seen, depth + 1)
        return self.plain(schema, seen, depth)

    def plain(self, schema: Schema, seen: tuple[str, ...], depth: int) -> Schema:
        out: Schema = {}
        self.types(schema, out)
        for name, value in schema.items():
            if name in _PLAIN:
                out[name] = value
            elif name == "format":
                if value in _FORMATS.get(out.get("type", ""), ()):
                    out["format"] = value
                else:
                    self.lost(f"format {value!r}")
            elif name == "properties" and type(value) is dict:
                # An object that names no properties must not have the word.
                if value:
                    out["properties"] = {key: self.write(each, seen, depth + 1) for key, each in value.items()}
            elif name == "items":
                out["items"] = self.write(value, seen, depth + 1)
            elif name in ("anyOf", "oneOf") and type(value) is list:
                self.alternatives(value, out, seen, depth)
            elif name == "required" and type(value) is list:
                known = schema.get("properties")
                kept = [key for key in value if type(known) is dict and type(key) is str and key in known]
                if kept:
                    out["required"] = kept
            elif name not in ("type", "enum", "const", "nullable") and name not in _SILENT:
                if name == "additionalProperties" and value is False:
                    continue  # what the subset means by itself: only the properties that are named
                self.lost(name)
        if schema.get("nullable") is True:
            out["nullable"] = True
        if out.get("type") == "ARRAY" and "items" not in out:
            out["items"] = {}
        return out

    def types(self, schema: Schema, out: Schema) -> None:
        found = schema.get("type")
        kinds = [found] if type(found) is str else found if type(found) is list else []
        names = [_CAPITALS.get(kind, kind) for kind in kinds if type(kind) is str]
        if "NULL" in names and len(names) > 1:
            out["nullable"] = True
            names.remove("NULL")
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if type(values) is list:
            words = [value for value in values if type(value) is str]
            if None in values:
                out["nullable"] = True
            if len(words) == len([value for value in values if value is not None]):
                names = names or ["STRING"]
                if words:
                    out["enum"] = words
            else:
                self.lost("an enum of other values than strings")
        if len(names) == 1:
            out["type"] = names[0]
        elif names:
            out["anyOf"] = [{"type": name} for name in names]
        elif type(schema.get("properties")) is dict:
            out["type"] = "OBJECT"

    def alternatives(self, value: list[Any], out: Schema, seen: tuple[str, ...], depth: int) -> None:
        kept = [each for each in value if not (type(each) is dict and each.get("type") == "null")]
        if len(kept) < len(value):
            out["nullable"] = True
        written = [self.write(each, seen, depth + 1) for each in kept]
        if len(written) == 1:
            for name, each in written[0].items():
                out.setdefault(name, each)
        elif written:
            out["anyOf"] = written

    def merged(self, schema: Schema) -> Schema:
        out = {name: value for name, value in schema.items() if name != "allOf"}
        for each in schema["allOf"]:
            found = self.find(each["$ref"]) if type(each) is dict and type(each.get("$ref")) is str else each
            if type(found) is not dict:
                self.lost("allOf")
                continue
            for name, value in found.items():
                here = out.get(name)
                if type(here) is dict and type(value) is dict:
                    out[name] = {**here, **value}
                elif name == "required" and type(here) is list and type(value) is list:
                    out[name] = [*here, *(key for key in value if key not in here)]
                elif name == "allOf":
                    self.lost("allOf within allOf")
                else:
                    out.setdefault(name, value)
        return out

    def find(self, reference: str) -> Schema | None:
        found: Any = self.root
        if reference != "#" and not reference.startswith("#/"):
            return None
        for step in reference.split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if type(found) is dict else None
        return found if type(found) is dict else None
