"""How an operation that is no conversation is written in one API: the four ways between wire and what it means."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from portico.dialects.crossing import Given, Notes, Target
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.framing.sse import BOM

A = TypeVar("A")
R = TypeVar("R")


class Form(NamedTuple, Generic[A, R]):
    """One API's way to write an operation. `render_request` returns several bodies where one cannot hold it all."""

    parse_request: Callable[[bytes, str], A]
    render_request: Callable[[A, Target, Notes], list[bytes]]
    parse_reply: Callable[[bytes], R]
    render_reply: Callable[[R, A, Given], bytes]


_object: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def fields_of(body: bytes) -> dict[str, Any]:
    """Decode a request's body; raises InvalidRequest for what is no JSON object."""
    try:
        return _object.decode(body.removeprefix(BOM))
    except UnicodeDecodeError as error:
        raise InvalidRequest("the body is not UTF-8") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error
    except msgspec.ValidationError as error:
        raise InvalidRequest("the body must be a JSON object") from error
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"the body is not JSON: {error}" if body else "the body is empty") from error


T = TypeVar("T")


def taken(fields: dict[str, Any], name: str, kind: type[T], what: str) -> T | None:
    """Take a field out; None where it is absent or null. Raises InvalidRequest for another kind of value."""
    value = fields.pop(name, None)
    if value is None or type(value) is kind:
        return value
    raise InvalidRequest(f"`{name}` must be {what}", param=name)


def count_in(fields: dict[str, Any], name: str) -> int | None:
    """Take out a field that must be a whole number above zero."""
    value = taken(fields, name, int, "a whole number")
    if value is not None and value < 1:
        raise InvalidRequest(f"`{name}` must be 1 or more", param=name)
    return value


def reply_of(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """Decode a provider's reply; raises BadUpstreamReply for what is none."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadUpstreamReply(f"the provider sent a reply that cannot be read: {error}") from error


def told(extra: dict[str, Any], notes: Notes) -> None:
    """Note the fields that only the caller's own API knows; a null says nothing."""
    unsaid = [name for name, value in extra.items() if value is not None]
    if unsaid:
        notes.lost("field", ", ".join(unsaid))
