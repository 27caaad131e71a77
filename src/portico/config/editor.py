"""The schema of the file for editors: JSON Schema 2020-12, with the short forms and variables that a file may hold."""

from inspect import cleandoc
from typing import Any, Final, get_args

import msgspec

from portico.config import units
from portico.config.schema import Config
from portico.rules import Dimension, Every

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_VARIABLE = {"type": "string", "pattern": r"\$\{"}
_DURATION = {"type": "string", "pattern": f"^(?:{units.NUMBER}|{units.DURATION})$"}
_SHARE = rf"^{units.NUMBER}%$"
_TIME = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}"}
_PERIOD = f"^(?:{'|'.join(get_args(Every))}|{units.NUMBER}|{units.DURATION})$"
_SIZE = {"type": "string", "pattern": f"^(?:{units.NUMBER}|{units.SIZE})$"}

Schema = dict[str, Any]


def schema() -> Schema:
    """Return the JSON Schema of a configuration file, as plain data."""
    (top,), definitions = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    defs = {name: _table(definition) for name, definition in sorted(definitions.items())}
    defs["Target"] = _or(defs["Target"], {"type": "string", "pattern": "/", "description": "`provider/model`."})
    target = {"$ref": "#/$defs/Target"}
    one = {"type": "string", "pattern": "/", "description": "Its only target."}
    several = {"type": "array", "items": target, "minItems": 1, "description": "Its targets, in order."}
    defs["Model"] = _or(defs["Model"], one, several)
    defs["Key"] = _or(defs["Key"], {"type": "string", "minLength": 1, "description": "The key itself."})
    for name in ("LimitFor", "BudgetFor"):
        calls = defs[name]["properties"]["for"]
        calls["additionalProperties"] = {"anyOf": [calls["additionalProperties"], {"type": "string"}]}
        calls["propertyNames"] = {"enum": list(get_args(Dimension))}
    config = defs.pop("Config")
    paths = {"type": "string", "minLength": 1}
    config["properties"]["include"] = {
        "description": "Files whose tables are merged into this one; paths are relative to the file that says so.",
        "anyOf": [paths, {"type": "array", "items": paths}],
    }
    config["patternProperties"] = {"^x-": {"description": "Not read: a place for anchors."}}
    assert top == {"$ref": "#/$defs/Config"}
    return {"$schema": DIALECT, **config, "title": "Portico's configuration", "$defs": defs}


def _table(definition: Schema) -> Schema:
    """Rewrite a table of msgspec's schema; one without required keys may be left empty in YAML, which is null."""
    rewritten = {key: value for key, value in definition.items() if key not in ("properties", "required")}
    rewritten["description"] = cleandoc(definition["description"])
    rewritten["properties"] = {name: _value(value) for name, value in definition["properties"].items()}
    if definition.get("required"):
        rewritten["required"] = definition["required"]
        return rewritten
    rewritten["type"] = ["object", "null"]
    return rewritten


def _or(table: Schema, *others: Schema) -> Schema:
    """Return a schema for a table and its short forms."""
    about: Schema = {key: table.pop(key) for key in ("title", "description") if key in table}
    return {**about, "anyOf": [table, *others]}


def _value(value: Schema) -> Schema:
    mark = value.pop("x-portico", None)
    if isinstance(value.get("default"), dict):
        del value["default"]  # the table's own keys say their defaults
    about: Schema = {key: value.pop(key) for key in ("description", "default") if key in value}
    if mark == "duration":
        return {**about, "anyOf": [value, _DURATION, _VARIABLE]}
    if mark == "size":
        return {**about, "anyOf": [value, _SIZE, _VARIABLE]}
    if mark == "share":
        return {**about, "anyOf": [value, {"type": "string", "pattern": _SHARE}, _VARIABLE]}
    if mark == "time":
        return {**about, "anyOf": [_TIME, _VARIABLE]}
    if mark == "period":
        return {**about, "anyOf": [{"type": "string", "pattern": _PERIOD}, {"type": "number"}, _VARIABLE]}
    if "anyOf" in value:
        value["anyOf"] = [_value(member) for member in value["anyOf"]]
        return {**about, **value}
    if value.get("type") in ("integer", "number", "boolean") or "enum" in value:
        return {**about, "anyOf": [value, _VARIABLE]}
    if value.get("type") == "array":
        value["items"] = _item(value["items"])
        return {**about, **value, "type": ["array", "null"] if not value.get("minItems") else "array"}
    if value.get("type") == "object":
        value["additionalProperties"] = _item(value["additionalProperties"])
        return {**about, **value, "type": ["object", "null"]}
    return {**about, **value}


def _item(value: Schema) -> Schema:
    """Return the schema of a list's item; numbers are good where words are wanted (`429`, the model `1.10`)."""
    fitted = _value(value)
    members = fitted.get("anyOf", [fitted])
    if any(member.get("enum") and "429" in member["enum"] for member in members):
        members = [{**m, "enum": [*m["enum"], 429]} if "429" in m.get("enum", ()) else m for m in members]
        return {"anyOf": members}
    return fitted
