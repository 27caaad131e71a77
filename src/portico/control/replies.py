"""What the admin API takes and gives, derived from the objects of the store: one struct is the source of all."""

import functools
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from portico.store.entities.kinds import KINDS
from portico.store.entities.things import STAMPS, Id, Key, Moment, Thing

READ_ONLY: Final[frozenset[str]] = frozenset(("prefix", "hint"))
FIXED: Final[frozenset[str]] = frozenset(("team", "user"))
"""Fields of a membership, and of a credential, that make it what it is."""

Limit = Annotated[int, Meta(ge=1, le=500)]
Cursor = Annotated[str, Meta(max_length=512)]


class Page(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How much of a list, and from where: `after` is the `next` of the page before."""

    limit: Limit = 50
    after: Cursor = ""


@functools.cache
def wish(kind: str) -> type[msgspec.Struct]:
    """Return what makes a new object: its fields, and an id where the maker has one in mind."""
    fields: list[Any] = [("id", Id | None, None)] if kind not in ("membership",) else []
    for field in msgspec.structs.fields(KINDS[kind].struct):
        if field.name in STAMPS or field.name in READ_ONLY:
            continue
        if kind == "membership" and field.name == "team":
            continue
        fields.append(_field(field, field.type, _default(field)))
    return _defined(kind, "New", fields, f"What makes a {kind}.")


@functools.cache
def patch(kind: str) -> type[msgspec.Struct]:
    """Return what changes an object: the fields to change; what is left out stays."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(KINDS[kind].struct):
        if field.name in STAMPS or field.name in READ_ONLY or (kind == "membership" and field.name in FIXED):
            continue
        fields.append(_field(field, field.type | UnsetType, UNSET))
    return _defined(kind, "Change", fields, f"What changes a {kind}: what is left out stays as it is.")


@functools.cache
def listed(kind: str) -> type[msgspec.Struct]:
    """Return a page of objects of a kind."""
    thing = KINDS[kind].struct
    fields: list[Any] = [("items", list[thing]), ("next", str | None, None)]  # type: ignore[valid-type]
    return msgspec.defstruct(f"{thing.__name__}Page", fields, kw_only=True, namespace={"__doc__": "A page of a list."})


class NewKeyReply(Key, kw_only=True, frozen=True):
    """A key that was just made or renewed. `key` is shown this once."""

    key: str


class Rotation(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How long the old key goes on to work, in seconds."""

    grace: Annotated[float, Meta(ge=0, le=366 * 86_400)] = 0.0
    expires: Moment | UnsetType | None = UNSET


class Secret(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The secret of a credential."""

    secret: Annotated[str, Meta(min_length=1, max_length=65_536)]


def merged(thing: Thing, changes: msgspec.Struct) -> dict[str, Any]:
    """Return an object's fields with the changes put in, as plain data by the names of the API."""
    plain = msgspec.to_builtins(thing)
    said = msgspec.to_builtins(changes)
    assert isinstance(plain, dict)
    assert isinstance(said, dict)
    return {**plain, **said}


def _field(field: msgspec.structs.FieldInfo, kind: Any, default: Any) -> Any:
    if field.encode_name == field.name:
        return (field.name, kind) if default is msgspec.NODEFAULT else (field.name, kind, default)
    assert default is not msgspec.NODEFAULT
    renamed = (
        msgspec.field(default_factory=dict, name=field.encode_name)
        if default == {}
        else msgspec.field(default=default, name=field.encode_name)
    )
    return (field.name, kind, renamed)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default


def _defined(kind: str, after: str, fields: list[Any], about: str) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        f"{KINDS[kind].struct.__name__}{after}",
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": about},
    )
