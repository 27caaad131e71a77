"""JSON Schemas as Anthropic's structured outputs take them.

docs.anthropic.com/en/build-with-claude/structured-outputs (read 2026-11-20): every object closed, and no bounds on
numbers, lengths or counts. What is taken away is said in the description, as the maker's own SDKs do.
"""

from typing import Any

_UNKNOWN = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf")


def fit(schema: Any) -> dict[str, Any] | None:
    """Return the schema in the form that is taken, None where it says what cannot be said there (an open object)."""
    if not isinstance(schema, dict) or "oneOf" in schema or "not" in schema:
        return None
    fitted = dict(schema)
    said = [f"{name}: {fitted.pop(name)}" for name in _UNKNOWN if name in fitted]
    if isinstance(fitted.get("minItems"), int) and fitted["minItems"] > 1:
        said.append(f"minItems: {fitted.pop('minItems')}")
    if said:
        fitted["description"] = " ".join(filter(None, (str(fitted.get("description") or ""), f"({', '.join(said)})")))
    if fitted.get("type") == "object" or "properties" in fitted:
        if fitted.get("additionalProperties", False) is not False:
            return None
        if not fitted.get("properties"):
            return None
        fitted["additionalProperties"] = False
    for name in _MAPS:
        if isinstance(inner := fitted.get(name), dict):
            fitted[name] = {key: fit(value) for key, value in inner.items()}
            if any(value is None for value in fitted[name].values()):
                return None
    for name in _LISTS:
        if isinstance(several := fitted.get(name), list):
            fitted[name] = [fit(value) for value in several]
            if any(value is None for value in fitted[name]):
                return None
    if isinstance(items := fitted.get("items"), dict):
        fitted["items"] = fit(items)
        if fitted["items"] is None:
            return None
    return fitted
