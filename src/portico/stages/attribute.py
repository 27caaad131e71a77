"""Whom a call is for, besides its key: the customer, and the tags that its costs are told apart by.

A customer is the end user: `x-portico-customer`, else the `user` of the request (Anthropic's `metadata.user_id`). Tags
are `name:value`: `x-portico-tags` lists them, `x-portico-metadata` (or Portkey's header) is a JSON object of them, and
members of the W3C header `baggage` whose names begin with `portico.` are tags as well. LiteLLM's headers are read too:
`x-litellm-customer-id` or `-end-user-id`, and `x-litellm-tags`. `x-portico-priority` says how urgent it is where it has
to wait.
"""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

import msgspec

from portico.errors import InvalidRequest
from portico.hashing import blake2b
from portico.rules import RANKS

MOST_TAGS = 16
LONGEST = 256
"""Characters of a customer, of a tag's name and of its value."""
SOURCES = (b"x-portico-tags", b"x-portico-metadata", b"x-portkey-metadata", b"baggage", b"x-litellm-tags")
CUSTOMERS = (b"x-portico-customer", b"x-litellm-customer-id", b"x-litellm-end-user-id")

_object = msgspec.json.Decoder(dict[str, str | int | float | bool | None])


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


def tags_of(named: Sequence[tuple[str, str]], own: Sequence[str]) -> tuple[str, ...]:
    """Return a call's tags, sorted and each once: those of its key, then its own. Raises InvalidRequest.

    What the key says of its calls, its caller cannot say otherwise.
    """
    fixed = {tag.partition(":")[0] for tag in own}
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
            name, found, value = tag.partition(":")
            # Its tags need no name: those that have none are all told apart by `tag`.
            yield (name.strip(), value.strip()) if found else ("tag", tag)
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
