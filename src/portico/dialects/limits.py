"""Put a limit on the output of a request, and fields that its key has for it, every other value left as it is."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from portico.dialects.members import Members
from portico.dialects.operation import Operation
from portico.dialects.request import Peek, peek

FIELDS: Mapping[str, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
    "cohere_chat": ("max_tokens",),
    "generate_content": ("generationConfig.maxOutputTokens", "generation_config.max_output_tokens"),
    "stream_generate_content": ("generationConfig.maxOutputTokens", "generation_config.max_output_tokens"),
    "converse": ("inferenceConfig.maxTokens",),
    "converse_stream": ("inferenceConfig.maxTokens",),
}
"""Where the limit of an operation's output stands; the first is written where a request has none."""

_object: Final = msgspec.json.Decoder(Members)
_encode: Final = msgspec.json.Encoder().encode
_JSON: Final = b"application/json"


def names_limit(operation: Operation, seen: Peek) -> bool:
    """Return whether a request limits its output, or is of an operation that has no such limit."""
    fields = FIELDS.get(operation.name)
    if fields is None or seen.members is None:
        return True
    return any(_place(seen.members, field) is not None for field in fields)


def limited(operation: Operation, seen: Peek, limit: int, field: str | None = None) -> tuple[bytes, Peek]:
    """Return a request's body and what is seen of it, with its output limited to so many tokens.

    `field` is the one to write where the request names none, where it is not the dialect's first.
    """
    assert seen.members is not None
    members = dict(seen.members)
    fields = FIELDS[operation.name]
    standing = [name for name in fields if _place(members, name) is not None]
    for name in standing or [field if field in fields else fields[0]]:
        outer, dot, inner = name.partition(".")
        number = msgspec.Raw(b"%d" % limit)
        members[outer] = number if not dot else msgspec.Raw(_encode(_table(members, outer) | {inner: number}))
    return _written(operation, members)


def overlaid(
    operation: Operation, seen: Peek, defaults: Mapping[str, msgspec.Raw], enforced: Mapping[str, msgspec.Raw]
) -> tuple[bytes, Peek]:
    """Return a request's body and what is seen of it: with `defaults` where it lacks them, `enforced` in any case."""
    assert seen.members is not None
    return _written(operation, {**defaults, **seen.members, **enforced})


def spared(operation: Operation, seen: Peek, fields: Collection[str]) -> tuple[bytes, Peek]:
    """Return a request's body and what is seen of it, without some of its fields."""
    assert seen.members is not None
    return _written(operation, {name: raw for name, raw in seen.members.items() if name not in fields})


def _written(operation: Operation, members: Members) -> tuple[bytes, Peek]:
    body = _encode(members)
    return body, peek(operation, body, _JSON)


def _place(members: Members, field: str) -> msgspec.Raw | None:
    outer, dot, inner = field.partition(".")
    found = members.get(outer) if not dot else _table(members, outer).get(inner)
    return None if found is None or bytes(found) == b"null" else found


def _table(members: Members, name: str) -> Members:
    raw = members.get(name)
    try:
        return _object.decode(raw) if raw is not None else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
