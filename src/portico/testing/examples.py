"""A value that satisfies a JSON schema, the same for the same seed.

Understands types (also in Gemini's capitals), enum, const, examples, properties, items, `$ref`, anyOf, oneOf, allOf,
formats and bounds. A `pattern` is not solved: a schema with one should give an `enum`, `const` or `examples`.
"""

import json
from typing import Any

from portico.testing.words import passage

_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_DEEPEST = 12
_NEAR = 4  # levels where what need not be there is; below them a schema that holds itself comes to an end


def example(schema: Any, seed: int) -> Any:
    """Return a value for `schema` (wire data: a JSON schema, or true)."""
    root = schema if isinstance(schema, dict) else {}
    return _value(root, root, seed, 0)


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with its reference, alternatives and parts put in place."""
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            break
        found: Any = root
        for name in reference.lstrip("#/").split("/"):
            if name:
                found = found.get(name.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
        schema = found if isinstance(found, dict) else {}
    for word in ("anyOf", "oneOf", "any_of"):
        choices = [choice for choice in schema.get(word) or () if isinstance(choice, dict)]
        if choices:
            solid = [choice for choice in choices if str(choice.get("type", "")).lower() != "null"]
            return _resolve((solid or choices)[0], root)
    parts = [_resolve(part, root) for part in schema.get("allOf") or () if isinstance(part, dict)]
    for part in parts:
        merged = {**schema.get("properties", {}), **part.get("properties", {})}
        schema = {**part, **{k: v for k, v in schema.items() if k != "allOf"}}
        if merged:
            schema["properties"] = merged
    return schema


def _kind(schema: dict[str, Any]) -> str:
    """Return the type to make a value of."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _value(schema: dict[str, Any], root: dict[str, Any], seed: int, depth: int) -> Any:
    """Return a value for one place of the schema."""
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    for word in ("enum", "examples"):
        choices = schema.get(word)
        if isinstance(choices, list) and choices:
            return choices[seed % len(choices)]
    kind = _kind(schema)
    if kind == "object":
        return _object(schema, root, seed, depth)
    if kind == "array":
        count = int(schema.get("minItems") or (1 if depth < _NEAR else 0))
        count = 0 if depth > _DEEPEST else count
        items = schema.get("items")
        item = items if isinstance(items, dict) else {}
        return [_value(item, root, seed + place + 1, depth + 1) for place in range(count)]
    if kind in ("integer", "number"):
        return _number(schema, seed, whole=kind == "integer")
    if kind == "boolean":
        return seed % 2 == 0
    if kind == "null":
        return None
    return _string(schema, seed)


def _object(schema: dict[str, Any], root: dict[str, Any], seed: int, depth: int) -> dict[str, Any]:
    """Return an object with every property, or with the required ones alone when it is nested deep."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    names = properties if depth < _NEAR else [name for name in schema.get("required") or () if name in properties]
    if depth > _DEEPEST:
        return {}
    return {
        name: _value(properties[name] if isinstance(properties[name], dict) else {}, root, seed + place, depth + 1)
        for place, name in enumerate(names, 1)
    }


def _number(schema: dict[str, Any], seed: int, *, whole: bool) -> int | float:
    """Return a number inside the bounds."""
    low = schema.get("minimum")
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + 1 if whole else schema["exclusiveMinimum"] + 0.5
    high = schema.get("maximum")
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - 1 if whole else schema["exclusiveMaximum"] - 0.5
    if low is None:
        low = 0 if high is None else min(0, high)
    value: int | float = low + (seed % 97)
    if high is not None and value > high:
        value = low
    step = schema.get("multipleOf")
    if step:
        value = -(-value // step) * step
    return int(value) if whole else float(value)


def _string(schema: dict[str, Any], seed: int) -> str:
    """Return a string of the format and the length asked for."""
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    text = passage(seed, 3).rstrip(".").strip()
    shortest, longest = int(schema.get("minLength") or 0), schema.get("maxLength")
    if len(text) < shortest:
        text = passage(seed, shortest // 4 + 1)[:shortest]
    return text[: int(longest)] if longest is not None else text


def example_json(schema: Any, seed: int) -> str:
    """Return the example as compact JSON."""
    return json.dumps(example(schema, seed), separators=(",", ":"), ensure_ascii=False)
