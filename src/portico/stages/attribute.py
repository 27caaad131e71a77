"""Whom a call is for, besides its key: the customer, and the tags that its costs are told apart by.

A customer is the end user: `x-portico-customer`, else the `user` of the request (Anthropic's `metadata.user_id`). Tags
are `name:value`: `x-portico-tags` lists them, `x-portico-metadata` (or Portkey's header) is a JSON object of them, and
members of the W3C header `baggage` whose names begin with `portico.` are tags as well. LiteLLM's headers are read too:
`x-litellm-customer-id` or `-end-user-id`, and `x-litellm-tags`. So are the lists of tags that its callers write into a
body, `metadata.tags` and `litellm_metadata.tags` (docs.litellm.ai/docs/proxy/request_tags, read 2026-11-21): no
provider takes a list there. `x-portico-priority` says how urgent a call is where it has to wait.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import msgspec

from portico.dialects.limits import overlaid, spared
from portico.dialects.operation import Operation
from portico.dialects.request import Peek
from portico.errors import InvalidRequest
from portico.hashing import blake2b
from portico.marks import holds
from portico.rules import RANKS

MOST_TAGS: Final = 16
LONGEST: Final = 256
"""Characters of a customer, of a tag's name and of its value."""
UNNAMED: Final = "tag"
"""The name of LiteLLM's tags that have none: a call may have several."""
SOURCES: Final = (b"x-portico-tags", b"x-portico-metadata", b"x-portkey-metadata", b"baggage", b"x-litellm-tags")
CUSTOMERS: Final = (b"x-portico-customer", b"x-litellm-customer-id", b"x-litellm-end-user-id")

_object: Final = msgspec.json.Decoder(dict[str, str | int | float | bool | None])
_table: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list: Final = msgspec.json.Decoder(list[str])
_text_of: Final = msgspec.json.Decoder(str)
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def customer_named(fields: Mapping[bytes, bytes]) -> str | None:
    """Return the customer that a header names. Raises InvalidRequest for one that cannot be told."""
    for header in CUSTOMERS:
        if (named := fields.get(header)) is not None:
            return _checked(_text(named, header.decode()), "customer")
    return None


def customer_of(user: str) -> str:
    """Return the customer that a request's body names; one that cannot be told as it stands goes by its hash."""
    return (
        user if _told(user) else "blake2b:" + blake2b(user.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
    )


def priority_named(fields: Mapping[bytes, bytes]) -> int | None:
    """Return the priority that `x-portico-priority` asks for, None for none. Raises InvalidRequest for another word."""
    said = fields.get(b"x-portico-priority")
    if said is None:
        return None
    rank = RANKS.get(said.strip().decode("latin-1").lower())
    if rank is None:
        raise InvalidRequest(f"x-portico-priority is one of {', '.join(RANKS)}")
    return rank


def tags_named(fields: Mapping[bytes, bytes]) -> Sequence[tuple[str, str]]:
    """Return the names and values of the tags that headers give a call. Raises InvalidRequest."""
    return tuple(
        (_checked(name, "tag"), _checked(value, "tag"))
        for header in SOURCES
        if header in fields
        for name, value in _pairs(header, _text(fields[header], header.decode()))
    )


def tags_written(operation: Operation, body: bytes, asked: Peek) -> tuple[bytes, Peek, Sequence[tuple[str, str]]]:
    """Return a request without the tags that LiteLLM's callers write into it, and their names and values.

    A `metadata` that has no list of tags stays as it is. Raises InvalidRequest for a list of anything but tags.
    """
    members = asked.members
    assert members is not None
    if "litellm_metadata" not in members and not holds(bytes(members.get("metadata", b"")), b'"tags"'):
        return body, asked, ()  # as of Anthropic's callers, who say there who the user is
    told: list[tuple[str, str]] = []
    left: dict[str, msgspec.Raw] = {}
    gone: list[str] = []
    for member in ("metadata", "litellm_metadata"):
        raw = bytes(members.get(member, b""))
        own = member == "litellm_metadata" and raw != b""
        if own:
            gone.append(member)
        if b'"tags"' not in raw:
            continue
        try:
            table = _table.decode(raw)
        except _UNREADABLE:
            continue
        tags = table.pop("tags", None)
        if tags is None or not bytes(tags).startswith(b"["):
            continue
        told += _listed(tags, f"{member}.tags")
        if own:
            continue
        if table:
            left[member] = msgspec.Raw(msgspec.json.encode(table))
        else:
            gone.append(member)
    if gone:
        body, asked = spared(operation, asked, gone)
    if left:
        body, asked = overlaid(operation, asked, {}, left)
    return body, asked, told


def user_written(members: Mapping[str, msgspec.Raw]) -> str | None:
    """Return the customer that LiteLLM's callers name in `litellm_metadata`, which goes on to nobody."""
    try:
        user = _table.decode(members.get("litellm_metadata", b"{}")).get("user")
        return _text_of.decode(user) if user is not None else None
    except _UNREADABLE:
        return None


def tags_beside(raw: msgspec.Raw) -> Sequence[tuple[str, str]]:
    """Return the tags of a list that LiteLLM's callers write beside the messages, as `tags`. Raises InvalidRequest."""
    return _listed(raw, "tags") if bytes(raw) != b"null" else ()


def _listed(raw: msgspec.Raw, name: str) -> Sequence[tuple[str, str]]:
    try:
        tags = _list.decode(raw)
    except _UNREADABLE:
        raise InvalidRequest(f"`{name}` is a list of tags, which are text", param=name) from None
    if len(tags) > MOST_TAGS:
        raise InvalidRequest(f"a call has at most {MOST_TAGS} tags; `{name}` has {len(tags)}")
    return [(_checked(one, "tag"), _checked(value, "tag")) for one, value in map(_unnamed, tags)]


def _unnamed(tag: str) -> tuple[str, str]:
    """Return the name and the value of a tag of LiteLLM's: those that have no name go by one."""
    name, found, value = tag.partition(":")
    return (name.strip(), value.strip()) if found else (UNNAMED, tag.strip())


def tags_of(named: Sequence[tuple[str, str]], own: Sequence[str]) -> tuple[str, ...]:
    """Return a call's tags, sorted and each once: those of its key, then its own. Raises InvalidRequest.

    What the key says of its calls, its caller cannot say otherwise; tags without a name are several, and add up.
    """
    fixed = {name for tag in own if (name := tag.partition(":")[0]) != UNNAMED}
    tags = {*own, *(f"{name}:{value}" for name, value in named if name not in fixed)}
    if len(tags) > MOST_TAGS:
        raise InvalidRequest(f"a call has at most {MOST_TAGS} tags; this one has {len(tags)}")
    return tuple(sorted(tags))


def _pairs(header: bytes, text: str) -> Iterator[tuple[str, str]]:
    if header == b"baggage":
        for member in text.split(","):
            name, found, value = member.partition(";")[0].partition("=")
            if found and name.strip().startswith("portico."):
                yield name.strip().removeprefix("portico."), unquote(value.strip())
    elif header == b"x-litellm-tags":
        for tag in filter(None, (part.strip() for part in text.split(","))):
            yield _unnamed(tag)
    elif header == b"x-portico-tags":
        for tag in filter(None, (part.strip() for part in text.split(","))):
            name, found, value = tag.partition(":")
            if not found:
                raise InvalidRequest(f"a tag is `name:value`; x-portico-tags has {tag[:LONGEST]!r}")
            yield name.strip(), value.strip()
    else:
        try:
            members = _object.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            raise InvalidRequest(f"{header.decode()} is a JSON object of text and numbers") from None
        for key, entry in members.items():
            if entry is not None:
                yield key, entry if isinstance(entry, str) else msgspec.json.encode(entry).decode()


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the header {name} is not UTF-8") from None


def _told(text: str) -> bool:
    return 0 < len(text) <= LONGEST and text.isprintable() and "|" not in text


def _checked(text: str, what: str) -> str:
    if not _told(text):
        raise InvalidRequest(f"a {what} has 1 to {LONGEST} printable characters, and no `|`")
    return text
