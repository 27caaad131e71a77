"""Calls that are what most are, put to a provider of another dialect without the conversation between.

A request of words alone is decoded into the shape that its dialect writes it in, and encoded in the provider's; its
reply comes back the same way. That takes a third to a half of the time of reading both into a conversation. Whatever
these shapes do not know does not fit them, and is read with care: so nothing is lost here, and what is said is what the
conversation comes to (`tests/dialects/direct` holds that to the letter). A pair need not be here.
"""

from collections.abc import Mapping
from inspect import get_annotations
from types import MappingProxyType
from typing import Protocol

from msgspec.json import Decoder

from portico.dialects.chat.brief import Brief
from portico.dialects.crossing import Given, Target
from portico.dialects.direct import messages_to_chat, responses_to_chat
from portico.dialects.direct.to_chat import CARE
from portico.dialects.tokens import UNREADABLE
from portico.dialects.toolbox import Members
from portico.types import Dialect, Usage


class Asked(Protocol):
    """A request that fits."""

    def body(self, target: Target, /) -> bytes | None:
        """Return the body for a provider; None where it needs care after all."""

    def told(self, heard: Brief, body: bytes, model: str, given: Given, /) -> tuple[bytes, Usage] | None:
        """Return a reply as the caller reads it, and what it used; None where it needs care.

        `heard` is what its `body` says, `model` the model by the caller's name.
        """


_SHAPES: Mapping[tuple[str, Dialect], type[Asked]] = MappingProxyType(
    {("messages", "chat"): messages_to_chat.Asked, ("responses", "chat"): responses_to_chat.Asked}
)
"""By the caller's operation and the provider's dialect: what requests fit into, a msgspec struct."""
_READERS = {pair: (frozenset(get_annotations(shape)), Decoder(shape).decode) for pair, shape in _SHAPES.items()}
"""What such a request may hold, and what reads it."""


def put(operation: str, body: bytes, members: Members | None, target: Target) -> tuple[bytes, Asked] | None:
    """Put a request to a target: return what to send there, and what tells the reply. None where care is needed.

    `members` are those of the body, where they have been read.
    """
    known = _READERS.get((operation, target.dialect))
    if known is None or not target.quirks.isdisjoint(CARE):
        return None
    names, read = known
    if members is not None and not members.keys() <= names:
        return None
    try:
        asked = read(body)
    except UNREADABLE:
        return None
    sent = asked.body(target)
    return None if sent is None else (sent, asked)
