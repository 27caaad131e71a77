"""The words of a configuration: types of values, how fields are described, and what is secret in a table."""

import functools
import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, inspect

Seconds = Annotated[float, Meta(ge=0, extra_json_schema={"x-portico": "duration"})]
Bytes = Annotated[int, Meta(ge=0, extra_json_schema={"x-portico": "size"})]
Rate = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1, extra_json_schema={"x-portico": "share"})]
"""A part of a whole, from 0 to 1; a file may write `5%`."""
Secret = Annotated[str, Meta(min_length=1, extra_json_schema={"x-portico": "secret"})]
Instant = Annotated[float, Meta(ge=0, extra_json_schema={"x-portico": "time"})]
"""Seconds since the epoch; a file writes `2026-12-31` or `2026-12-31T18:00:00+01:00` (UTC where it says no zone)."""
Per = Annotated[str, Meta(extra_json_schema={"x-portico": "period"})]
"""A word of `portico.rules.Every`, or a duration of whole seconds; `declared.window` reads it."""
Free = Annotated[Any, Meta(extra_json_schema={"x-portico": "value"})]
"""Any value that JSON has."""
Dollars = Annotated[float, Meta(ge=0, le=1_000_000_000)]
Amount = Annotated[int, Meta(ge=0)]
Tokens = Annotated[int, Meta(ge=1)]
Factor = Annotated[float, Meta(ge=0, le=1000)]
AtOnce = Annotated[int, Meta(ge=1)]


Retention = Literal["none", "limited", "training"]
Strategy = Literal[
    "fallback",
    "weighted",
    "round_robin",
    "least_busy",
    "lowest_latency",
    "lowest_cost",
    "highest_throughput",
    "power_of_two",
    "score",
    "split",
    "complexity",
]
Expression = Annotated[str, Meta(min_length=1, max_length=4096)]
"""An expression of CEL (cel.dev) over what `portico.plan.facts.TYPES` names, that is true or false."""


def said(description: str, *, ge: float | None = None, le: float | None = None, min_length: int | None = None) -> Meta:
    """Return the metadata of a field: what it means, for the reference page and for editors."""
    if min_length is not None:
        return Meta(description=description, min_length=min_length)
    return Meta(description=description, ge=ge, le=le)


HIDDEN: Final = "***"
"""What stands where a secret would."""

_SECRET_NAME = re.compile(r"key|secret|token|passw|credential|authoriz|cookie|session", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the configuration; a key that it does not name is an error."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        fields: list[tuple[str, Any]] = []
        defaults = dict(zip(self.__struct_fields__[::-1], self.__struct_defaults__[::-1], strict=False))
        for name in self.__struct_fields__:
            value = getattr(self, name)
            default = defaults.get(name, msgspec.NODEFAULT)
            if value != default and not (value == {} and name in defaults):
                fields.append((name, shown(type(self), name, value)))
        return fields


def shown(table: type[msgspec.Struct], field: str, value: object) -> object:
    """Return the value of a field as it may be shown: secrets as `***`, addresses without a password."""
    if field in secret_fields(table):
        return _hidden(value)
    if isinstance(value, str):
        return _USERINFO.sub(f"{HIDDEN}@", value)
    if field == "options" and isinstance(value, dict):
        return {name: HIDDEN if secret_name(name) else _bare(item) for name, item in value.items()}
    return value


def secret_name(name: str) -> bool:
    """Whether an option of this name holds something to hide."""
    return bool(_SECRET_NAME.search(name))


def _bare(value: object) -> object:
    return _USERINFO.sub(f"{HIDDEN}@", value) if isinstance(value, str) else value


def _hidden(value: object) -> object:
    if isinstance(value, dict):
        return dict.fromkeys(value, HIDDEN)
    if isinstance(value, tuple):
        return (HIDDEN,) * len(value)
    return HIDDEN if value is not None else None


@functools.cache
def secret_fields(table: type[msgspec.Struct]) -> frozenset[str]:
    """Return the names of the fields that hold a `Secret`, alone or in a list or table."""
    described = inspect.type_info(table)
    assert isinstance(described, inspect.StructType)
    return frozenset(field.name for field in described.fields if holds_secret(field.type))


def holds_secret(kind: inspect.Type) -> bool:
    """Whether a value of this type is a `Secret`, or a list or table of them."""
    if isinstance(kind, inspect.Metadata):
        return (kind.extra_json_schema or {}).get("x-portico") == "secret" or holds_secret(kind.type)
    if isinstance(kind, inspect.UnionType):
        return any(holds_secret(member) for member in kind.types)
    if isinstance(kind, inspect.VarTupleType):
        return holds_secret(kind.item_type)
    return isinstance(kind, inspect.DictType) and holds_secret(kind.value_type)
