"""Schemas of tools' inputs as Claude takes them: an object's, with no choice among several at its root.

docs.anthropic.com/en/docs/agents-and-tools/tool-use (read 2026-11-20).
"""

from typing import Any

from portico.dialects.crossing import Notes


def input_schema(parameters: Any, notes: Notes, name: str) -> dict[str, Any]:
    """Return the schema of a tool's input: an object's, whatever was written, with no choice at its root."""
    if type(parameters) is not dict:
        return {"type": "object", "properties": {}}
    if not parameters.keys().isdisjoint(_CHOICES):
        notes.lost("schema_keywords", name)
        return _merged(parameters)
    if parameters.get("type") != "object":
        return {**parameters, "type": "object"}
    return parameters


_CHOICES = ("anyOf", "oneOf", "allOf")


def _merged(schema: dict[str, Any]) -> dict[str, Any]:
    """Return one object for several: what each requires is required, or for allOf what any does."""
    out = {key: value for key, value in schema.items() if key not in _CHOICES} | {"type": "object"}
    properties, required = dict(_table(schema, "properties")), list(_names(schema))
    for word in _CHOICES:
        branches = schema.get(word)
        listed = [each for each in branches if type(each) is dict] if type(branches) is list else []
        for branch in listed:
            properties = {**_table(branch, "properties"), **properties}
        wanted = [frozenset(_names(branch)) for branch in listed]
        if wanted:
            both = frozenset.union(*wanted) if word == "allOf" else frozenset.intersection(*wanted)
            required += sorted(both - set(required))
    out["properties"] = properties
    if required:
        out["required"] = required
    return out


def _table(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found = schema.get(name)
    return found if type(found) is dict else {}


def _names(schema: dict[str, Any]) -> list[str]:
    found = schema.get("required")
    return [name for name in found if type(name) is str] if type(found) is list else []
